# The lines of rtpload as a table: medians, and of ratios the median of the rounds' ratios.
function field(name,    m) {
    if (!match($0, "\"" name "\":[-0-9.]+"))
        return 0
    m = substr($0, RSTART, RLENGTH)
    sub(/.*:/, "", m)
    return m + 0
}
function median(list,    v, n, i, j, t) {
    n = split(list, v, " ")
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && v[j - 1] + 0 > v[j] + 0; j--) {
            t = v[j]; v[j] = v[j - 1]; v[j - 1] = t
        }
    return n == 0 ? 0 : n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
}
{
    match($0, /"name":"[^"]*"/)
    split(substr($0, RSTART + 8, RLENGTH - 9), part, " ")
    who = part[1]; what = part[2]
    if (!(what in seen)) {
        seen[what] = 1
        order[++n] = what
    }
    cpu = field("cpu_us")
    all[who, what] = all[who, what] " " cpu
    p99[who, what] = p99[who, what] " " field("p99")
    rss[who, what] = rss[who, what] " " field("rss_kib")
    bad[who, what] += field("lost") + field("bad") + field("dup") + field("foreign")
    if (who == "rtpengine")
        last[what] = cpu
    else if (who == "sallyport") {
        mine[what] = cpu
        if (last[what] > 0)
            ratio[what] = ratio[what] " " cpu / last[what]
    } else if (cpu > 0)
        floor_ratio[what] = floor_ratio[what] " " mine[what] / cpu
}
END {
    printf "%-16s %10s %10s %6s %6s %7s  %9s %9s  %8s %8s  %s\n", "streams/a/b", "rtpengine", "Sallyport", "ratio", "floor",
        "/floor", "R p99 us", "S p99 us", "R KiB", "S KiB", "lost or wrong"
    for (i = 1; i <= n; i++) {
        w = order[i]
        printf "%-16s %10.2f %10.2f %6.2f %6.2f %7.2f  %9.0f %9.0f  %8.1f %8.1f  %d / %d\n", w, median(all["rtpengine", w]),
            median(all["sallyport", w]), median(ratio[w]), median(all["floor", w]), median(floor_ratio[w]),
            median(p99["rtpengine", w]), median(p99["sallyport", w]), median(rss["rtpengine", w]), median(rss["sallyport", w]),
            bad["rtpengine", w], bad["sallyport", w]
    }
}
