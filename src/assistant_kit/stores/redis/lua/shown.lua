-- What a list shows of the conversation with this key.
local function shown(of)
  return redis.call('HMGET', of, 'seq', 'state', 'created', 'updated', 'title')
end
