-- Conversations are listed by state for all users of the shard, by the time of the last write.
local function list_state(was, state, at)
  local member = USER .. ':' .. CONVERSATION
  if was and was ~= state then redis.call('ZREM', ROOT .. ':state:' .. was, member) end
  if state then redis.call('ZADD', ROOT .. ':state:' .. state, at, member) end
end
