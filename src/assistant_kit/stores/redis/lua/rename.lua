-- ARGV[6] is the title.
local function main()
  local title = redis.call('HGET', HERE, 'title')
  if not title then return {'NONE'} end
  if title == ARGV[6] then
    tick() -- a write, so that waiting for the disk also waits for what is repeated
    return {'OK'}
  end
  local refusal = refused()
  if refusal then return refusal end
  redis.call('HSET', HERE, 'title', ARGV[6])
  chain()
  return {'OK'}
end
