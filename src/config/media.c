/* What domains, peers and the section `media` say of media: values with a form of their own, and
 * what must fit each other. TR/100 8. Pure, but for the check's messages. */
#include "base/err.h"
#include "config/load.h"
#include "keying/suite.h"
#include <confuse.h>
#include <time.h>

bool config_ports_parse(struct str text, uint16_t *ret_min, uint16_t *ret_max)
{
    struct str from, to = str_cut(text, '-', &from);
    uint32_t a, b;

    if (!to.p || str_to_u32(str_trim(from), UINT16_MAX, &a) != 0 ||
        str_to_u32(str_trim(to), UINT16_MAX, &b) != 0 || a < 1024 || b <= a)
        return false;
    *ret_min = (uint16_t)a;
    *ret_max = (uint16_t)b;
    return true;
}

uint64_t config_media_sockets(const struct config_media *m)
{
    uint16_t from, to;

    return m->address.n && config_ports_parse(m->ports, &from, &to)
               ? (uint64_t)m->address.n * (uint64_t)(to - from + 1)
               : 0;
}

bool config_media_address_parse(struct str text, struct addr *ret_local,
                                struct addr *ret_advertised)
{
    struct str local, rest = str_cut(str_trim(text), ' ', &local);

    memset(ret_advertised, 0, sizeof *ret_advertised);
    if (addr_parse(ret_local, local, 0) != 0 || addr_is_any(ret_local))
        return false;
    if (!rest.p)
        return true;
    rest = str_trim(rest);
    if (!str_starts_nocase(rest, STR("advertise ")))
        return false;
    return addr_parse(ret_advertised, str_trim(str_make(rest.p + 10, rest.n - 10)), 0) == 0 &&
           addr_is_v6(ret_advertised) == addr_is_v6(ret_local) && !addr_is_any(ret_advertised);
}

bool config_date_parse(struct str text, uint64_t *ret_s)
{
    struct str year, month, day = str_cut(str_cut(text, '-', &year), '-', &month);
    uint32_t y, m, d;
    struct tm tm = {0}, back;
    time_t t;

    if (year.n != 4 || month.n != 2 || day.n != 2 || str_to_u32(year, 9999, &y) != 0 || y < 1970 ||
        str_to_u32(month, 12, &m) != 0 || m < 1 || str_to_u32(day, 31, &d) != 0 || d < 1)
        return false;
    tm.tm_year = (int)y - 1900;
    tm.tm_mon = (int)m - 1;
    tm.tm_mday = (int)d;
    t = timegm(&tm);
    if (t == (time_t)-1 || !gmtime_r(&t, &back) || back.tm_mday != (int)d)
        return false; /* the 31st of a month that has none */
    *ret_s = (uint64_t)t + 86400;
    return true;
}

void check_media_side(struct load *l, const cfg_t *sec, const struct config_media_side *m)
{
    const struct config_media *media = &l->c->media;
    uint64_t until;
    size_t i;

    for (i = 0; i < m->keys.n; i++)
        if (!str_eq(m->keys.v[i], STR("dtls")) && !str_eq(m->keys.v[i], STR("sdes")) &&
            !str_eq(m->keys.v[i], STR("clear")))
            load_problem(l, load_line(l, sec, "media-keys"),
                         "media-keys: \"%s\" is no method; use dtls, sdes, or clear alone", m->keys.v[i].p);
    for (i = 0; i < m->keys.n; i++)
        if (str_eq(m->keys.v[i], STR("clear")) && (m->keys.n > 1 || !m->allow_clear))
            load_problem(l, load_line(l, sec, "media-keys"),
                         m->keys.n > 1 ? "media-keys: clear stands alone; allow-clear-media adds it to other methods"
                                       : "media-keys: media go in clear; add allow-clear-media = yes");
    for (i = 0; i < m->suites.n; i++)
        if (!keying_suite_find(m->suites.v[i]))
            load_problem(l, load_line(l, sec, "media-suites"),
                         "media-suites: \"%s\" is no suite; names are those of SDP, as "
                         "AES_CM_128_HMAC_SHA1_80",
                         m->suites.v[i].p);
    if (m->sdes_until.n && !config_date_parse(m->sdes_until, &until))
        load_problem(l, load_line(l, sec, "sdes-until"),
                     "sdes-until = %s: must be a day, as 2027-12-31", m->sdes_until.p);
    if (m->sdes_lifetime != 0 && m->sdes_lifetime < 20)
        load_problem(l, load_line(l, sec, "sdes-lifetime"),
                     "sdes-lifetime = %u: calls would change keys all the time; use 20 or more", m->sdes_lifetime);
    if (m->sdes_keys > 1 && m->sdes_mki_length == 0)
        load_problem(l, load_line(l, sec, "sdes-keys"),
                     "sdes-keys = %u: several keys are told apart by their MKI; add sdes-mki-length = 1", m->sdes_keys);
    if (m->best_effort && !m->allow_clear)
        load_problem(l, load_line(l, sec, "media-best-effort"),
                     "media-best-effort lets media go without keys; add allow-clear-media = yes");
    if (m->mode != CONFIG_MEDIA_DIRECT && !media->address.n)
        load_problem(
            l, load_line(l, sec, "media"),
            "media go through us, but by no address; add media { address = {\"ADDRESS\"} }");
}

void check_media(struct load *l, const cfg_t *sec)
{
    const struct config_media *m = &l->c->media;
    struct addr local, advertised;
    uint16_t from, to;
    size_t i;

    for (i = 0; i < m->address.n; i++)
        if (!config_media_address_parse(m->address.v[i], &local, &advertised))
            load_problem(l, load_line(l, sec, "address"),
                         "address: \"%s\" must be an address, as \"192.0.2.1\" or \"10.0.0.1 "
                         "advertise 192.0.2.1\"",
                         m->address.v[i].p);
    if (m->address.n > CONFIG_MEDIA_ADDRESSES_MAX)
        load_problem(l, load_line(l, sec, "address"), "more than %u addresses for media",
                     CONFIG_MEDIA_ADDRESSES_MAX);
    if (m->ports.n && !config_ports_parse(m->ports, &from, &to))
        load_problem(l, load_line(l, sec, "ports"),
                     "ports = %s: must be a range above 1023, as 30000-39999", m->ports.p);
}
