# One row of the bench's table from its results: -v label=LOAD names the load.
# A line: server, round, load, rate, median latency, errors, with tabs between.

BEGIN { FS = "\t" }

$3 == label {
    rate[$1, $2] = $4
    late[$1, $2] = $5
    if ($2 > n) n = $2
}

END {
    for (i = 1; i <= n; i++) {
        p[i] = rate["pollux", i]
        q[i] = rate["peer", i]
        r[i] = p[i] / (q[i] ? q[i] : 1)
        s[i] = late["pollux", i]
        t[i] = late["peer", i]
    }
    printf "| %s | %d | %d | %.2f | ", label, median(p, n), median(q, n), median(r, n)
    printf "%.2f to %.2f | %d | %d |\n", r[1], r[n], median(s, n), median(t, n)
}

# Leaves the array sorted.
function median(a, n) {
    sort_in_place(a, n)
    return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2
}

function sort_in_place(a, n,   i, j, t) {
    for (i = 2; i <= n; i++) {
        t = a[i]
        for (j = i - 1; j >= 1 && a[j] > t; j--) a[j + 1] = a[j]
        a[j + 1] = t
    }
}
