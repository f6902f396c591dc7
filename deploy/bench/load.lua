-- What wrk asks, by the name in BENCH_LOAD: one request, which wrk then sends without asking here again,
-- or a list that is taken in turn over all connections.
-- Prints "measured RATE MEDIAN_US BYTES ERRORS" at the end.

local PREFIX = "HTTP/1.1\r\nHost: bench\r\n"

local function get(path, fields)
    return "GET " .. path .. " " .. PREFIX .. (fields or "") .. "\r\n"
end

local function post(path, body)
    return "POST " .. path .. " " .. PREFIX .. "Content-Length: " .. #body .. "\r\n\r\n" .. body
end

local GZIP = "Accept-Encoding: gzip\r\n"
local BROWSER = "Accept-Encoding: br;q=1, gzip;q=0.8\r\n"

local function json()
    local pairs = { { 1, 3 }, { 5, 7 }, { 10, 2 }, { 15, 5 }, { 25, 4 }, { 40, 8 }, { 50, 6 } }
    local list = {}
    for i, pair in ipairs(pairs) do list[i] = get("/json/" .. pair[1] .. "?m=" .. pair[2]) end
    return list
end

local function async_db()
    local list = {}
    for i, limit in ipairs({ 5, 10, 20, 35, 50 }) do
        list[i] = get("/async-db?min=10&max=50&limit=" .. limit)
    end
    return list
end

-- Names of the files, from the environment, as the data directory has them.
local function static()
    local list = {}
    for name in os.getenv("BENCH_FILES"):gmatch("%S+") do
        list[#list + 1] = get("/static/" .. name, BROWSER)
    end
    return list
end

-- Fourteen templates, five of each at a time.
local function mixed()
    local files, rows, items = static(), async_db(), json()
    local sum = "/baseline11?a=13&b=42"
    local chunked = "POST " .. sum .. " " .. PREFIX .. "Transfer-Encoding: chunked\r\n\r\n2\r\n20\r\n0\r\n\r\n"
    local upload = post("/upload", string.rep("x", 1048576))
    local list = {}
    local function five(choose)
        for i = 1, 5 do list[#list + 1] = choose(i) end
    end
    for _ = 1, 3 do five(function() return get(sum) end) end
    five(function() return post(sum, "20") end)
    five(function() return chunked end)
    five(function(i) return items[i] end)
    five(function() return get("/db?min=10&max=50") end)
    five(function() return upload end)
    for _ = 1, 2 do five(function() return get("/compression", GZIP) end) end
    for half = 0, 1 do five(function(i) return files[(half * 5 + i - 1) % #files + 1] end) end
    for _ = 1, 2 do five(function(i) return rows[i] end) end
    return list
end

local function one(path, coding)
    return function()
        wrk.path = path
        wrk.headers["Accept-Encoding"] = coding
    end
end

local LOADS = {
    ["pipeline"] = one("/pipeline"),
    ["pipeline-16"] = function() return { string.rep(get("/pipeline"), 16) } end,
    ["json"] = json,
    ["compression"] = one("/compression", "gzip"),
    ["compression-per-request"] = one("/compression-per-request", "gzip"),
    ["db"] = one("/db?min=10&max=50"),
    ["async-db"] = async_db,
    ["async-db-50"] = one("/async-db?min=10&max=50&limit=50"),
    ["static"] = static,
    ["mixed"] = mixed,
}

local list = LOADS[os.getenv("BENCH_LOAD")]()

if list then
    local at = 0
    request = function()
        at = at % #list + 1
        return list[at]
    end
end

done = function(summary, latency)
    local e = summary.errors
    local seconds = summary.duration / 1e6
    print(string.format("measured %.0f %.0f %.0f %d", summary.requests / seconds, latency:percentile(50),
        summary.bytes / seconds, e.connect + e.read + e.write + e.status + e.timeout))
end
