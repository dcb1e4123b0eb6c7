# Makes the table of bench/run from its JSON lines: one row a scenario, medians of the rounds, and the median of the rounds'
# ratios (so that what disturbed a whole round disturbs both). Column "what" of -v plan="name=target=field,...".
function field(name,    at, rest) {
    at = index($0, "\"" name "\":")
    if (!at)
        return ""
    rest = substr($0, at + length(name) + 3)
    sub(/^"/, "", rest)
    sub(/[",}].*/, "", rest)
    return rest
}
function median(list,    n, a, i, j, t) {
    n = split(list, a, " ")
    if (n == 0)
        return ""
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && a[j - 1] + 0 > a[j] + 0; j--) {
            t = a[j]; a[j] = a[j - 1]; a[j - 1] = t
        }
    return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2
}
function show(v, digits) {
    return v == "" ? "-" : sprintf("%." digits "f", v)
}
BEGIN {
    n_plan = split(plan, rows, ",")
    for (i = 1; i <= n_plan; i++) {
        split(rows[i], part, "=")
        names[i] = part[1]; target[part[1]] = part[2]; what[part[1]] = part[3]
    }
}
/^\{/ {
    split(field("label"), l, "/")     # server/scenario/round
    value = field(what[l[2]])
    if (value == "" || field("done") + 0 == 0)
        next
    seen[l[2]] = 1
    key = l[1] SUBSEP l[2]
    values[key] = values[key] " " value
    round[l[1], l[2], l[3]] = value
    rates[key] = rates[key] " " field("rate")
    p50[key] = p50[key] " " field("p50_us")
    p99[key] = p99[key] " " field("p99_us")
    failed[key] += field("failed")
    if (l[3] + 0 > n_rounds)
        n_rounds = l[3] + 0
}
END {
    printf "%-18s %10s %10s %7s %7s %-5s %9s | %-19s | %-27s | %s\n", "scenario", "Kamailio", "Sallyport", "ratio",
        "target", "", "floor", "units/s K / S", "p50/p99 us K, S", "failed K / S / floor"
    for (i = 1; i <= n_plan; i++) {
        s = names[i]
        if (!(s in seen))
            continue
        list = ""
        for (r = 1; r <= n_rounds; r++)
            if (round["sallyport", s, r] != "" && round["kamailio", s, r] + 0 > 0)
                list = list " " round["sallyport", s, r] / round["kamailio", s, r]
        ratio = median(list)
        verdict = ""
        if (what[s] == "kib_per_phone") {
            if (values["sallyport", s] != "")
                verdict = median(values["sallyport", s]) + 0 <= target[s] + 0 ? "pass" : "over"
        } else if (ratio != "" && target[s] != "-")
            verdict = ratio + 0 <= target[s] + 0 ? "pass" : "over"
        t = target[s] (what[s] == "kib_per_phone" ? "KiB" : "")
        printf "%-18s %10s %10s %7s %7s %-5s %9s | %8s / %-8s | %6s/%-6s %6s/%-6s | %d / %d / %d\n", s,
            show(median(values["kamailio", s]), 2), show(median(values["sallyport", s]), 2), show(ratio, 2), t, verdict,
            show(median(values["floor", s]), 2), show(median(rates["kamailio", s]), 0), show(median(rates["sallyport", s]), 0),
            show(median(p50["kamailio", s]), 0), show(median(p99["kamailio", s]), 0),
            show(median(p50["sallyport", s]), 0), show(median(p99["sallyport", s]), 0),
            failed["kamailio", s], failed["sallyport", s], failed["floor", s]
    }
    print "Server CPU in microseconds a unit (idle: KiB of proportional set size a phone). Ratio: Sallyport / Kamailio, median of the rounds' own."
}
