-- ARGV[6] is the time of the last write of the newest to return, in ZREVRANGEBYSCORE's terms, ARGV[7] their number.
local function main()
  local answer = {'OK'}
  for _, name in ipairs(redis.call('ZREVRANGEBYSCORE', LIST, ARGV[6], '-inf', 'LIMIT', 0, ARGV[7])) do
    local found = shown(key('conversation', name))
    if not found[1] then error('DAMAGED: a conversation of the list is gone') end
    answer[#answer + 1] = name
    for n = 1, 5 do answer[#answer + 1] = found[n] end
  end
  return answer
end
