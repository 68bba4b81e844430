-- What wrk sends in the quick benchmark, and what it makes of the answers.
--
--   wrk … -s claims.lua http://HOST:PORT -- MODE RUN [check]
--
-- MODE   single  one claim a request, POST /v1/assert
--        batch   1000 claims a request, NDJSON, POST /v1/assert/batch
--        put     the same bytes as a value for etcd's JSON gateway, POST /v3/kv/put
--        empty   GET / (the empty reply)
-- RUN    six digits that no other run against the same server uses: they keep its claims apart from theirs
-- check  look at every answer, and count those that are not what they should be; costs wrk time
--
-- At the end it prints one line, RESULT and a JSON object, beside wrk's own report.

local CLAIM_BYTES = 200
local BATCH_CLAIMS = 1000
local SUBJECTS = 100000

local json_headers = { ["Content-Type"] = "application/json" }
local ndjson_headers = { ["Content-Type"] = "application/x-ndjson" }

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(arguments)
  mode, run = arguments[1], arguments[2]
  sent, unexpected = 0, 0
  if arguments[3] == "check" then
    response = check_answer
  end
end

function request()
  if mode == "single" then
    return wrk.format("POST", "/v1/assert", json_headers, next_claim())
  elseif mode == "batch" then
    local lines = {}
    for index = 1, BATCH_CLAIMS do
      lines[index] = next_claim()
    end
    lines[BATCH_CLAIMS + 1] = ""
    return wrk.format("POST", "/v1/assert/batch", ndjson_headers, table.concat(lines, "\n"))
  elseif mode == "put" then
    local claim = next_claim()
    local key = string.format("bench/%06d", sent % SUBJECTS)
    local body = '{"key":"' .. base64(key) .. '","value":"' .. base64(claim) .. '"}'
    return wrk.format("POST", "/v3/kv/put", json_headers, body)
  end
  return wrk.format("GET", "/")
end

-- A claim of CLAIM_BYTES bytes, different from all that were sent before.
function next_claim()
  sent = sent + 1
  local claim = string.format(
    '{"concept_path":"bench/sensor/%06d","predicate":"reading","value":"%s%012d","confidence":0.95,'
      .. '"source":"source/bench/quick","source_class":"observational"',
    sent % SUBJECTS, run, sent)
  return claim .. string.rep(" ", CLAIM_BYTES - #claim - 1) .. "}"
end

function check_answer(status, headers, body)
  local expected = 200
  if mode == "single" then
    expected = 201
  end
  local whole_batch = mode ~= "batch" or string.find(body, '"accepted":' .. BATCH_CLAIMS, 1, true)
  if status ~= expected or not whole_batch then
    unexpected = unexpected + 1
    if unexpected == 1 then
      print("unexpected answer: " .. status .. " " .. body)
    end
  end
end

local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

function base64(text)
  local out = {}
  for start = 1, #text, 3 do
    local a, b, c = string.byte(text, start, start + 2)
    local bits = a * 65536 + (b or 0) * 256 + (c or 0)
    for place, present in ipairs({ true, true, b ~= nil, c ~= nil }) do
      local digit = math.floor(bits / 64 ^ (4 - place)) % 64 + 1
      out[#out + 1] = present and string.sub(alphabet, digit, digit) or "="
    end
  end
  return table.concat(out)
end

function done(summary, latency, requests)
  local wrong = 0
  for _, thread in ipairs(threads) do
    wrong = wrong + thread:get("unexpected")
  end
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"seconds":%.6f,"p50_us":%d,"p99_us":%d,"socket_errors":%d,"status_errors":%d,"unexpected":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.timeout, errors.status, wrong))
end
