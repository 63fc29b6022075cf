-- Makes a shard ready. ARGV[1] is the version of the layout, ARGV[2] is 1 when audit chains are to be kept.
local function is_ours()
  for _, name in ipairs({'users', 'state:idle', 'state:open', 'state:waiting', 'state:parked'}) do
    local type = redis.call('TYPE', KEYS[1] .. ':' .. name).ok
    if type ~= 'none' and type ~= 'zset' then return false end
  end
  return true
end

local root = redis.call('HMGET', KEYS[1], 'version', 'audit')
if root[1] and root[1] ~= ARGV[1] then return {'VERSION', root[1]} end
if not is_ours() or (not root[1] and redis.call('EXISTS', KEYS[1]) == 1) then return {'FOREIGN'} end
if not root[1] then redis.call('HSET', KEYS[1], 'version', ARGV[1]) end
if ARGV[2] == '1' and root[2] ~= '1' then
  redis.call('HSET', KEYS[1], 'audit', 1)
  root[2] = '1'
end
return {'OK', root[2] or ''}
