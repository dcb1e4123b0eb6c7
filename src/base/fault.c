/* The counter behind base/fault.h; one per thread, present in test builds only. */
#include "base/fault.h"

#ifdef SALLYPORT_FAULTS
_Thread_local struct fault fault_state;
#else
/* C17 6.9 wants a translation unit to declare something. */
typedef int fault_is_absent;
#endif
