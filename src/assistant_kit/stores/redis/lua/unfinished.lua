-- ARGV[6] is the state, ARGV[7] how many to return.
local PAGE = 100

local function main()
  local answer, limit, skip, time = {'OK'}, tonumber(ARGV[7]), 0, now()
  repeat
    local members = redis.call(
      'ZRANGEBYSCORE', ROOT .. ':state:' .. ARGV[6], '-inf', '+inf', 'WITHSCORES', 'LIMIT', skip, PAGE
    )
    for n = 1, #members, 2 do
      if #answer > 2 * limit then return answer end
      local found = redis.call('HMGET', ROOT .. ':conversation:' .. members[n], 'fence', 'until')
      if not found[1] or tonumber(found[2]) <= time then
        answer[#answer + 1] = members[n]
        answer[#answer + 1] = members[n + 1]
      end
    end
    skip = skip + PAGE
  until #members < 2 * PAGE
  return answer
end
