-- What every script begins with. KEYS[1] is the root of a shard, KEYS[2] a conversation of the user ARGV[1]. Every other
-- key is named here from these, and lies in the same slot: all keys of a shard have the same hash tag.
-- Numbers are texts or below 2^53: Lua prints a double with 14 digits, and holds no integer above 2^53 to the unit.
local ROOT, HERE, USER, CONVERSATION = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local LIST = ROOT .. ':list:' .. USER
local root = redis.call('HMGET', ROOT, 'version', 'audit', 'tick', 'dropped')

local function text(number)
  return string.format('%.0f', number)
end

-- The time in microseconds since 1970.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- The time of a write as text. No two are equal, and none is less than one before, whatever the clock does.
-- It stands before the first write of a script: where there is no memory left it fails, and nothing was changed.
local function tick()
  root[3] = text(math.max(now(), tonumber(root[3] or 0) + 1))
  redis.call('HSET', ROOT, 'tick', root[3])
  return root[3]
end

local function key(kind, name)
  return ROOT .. ':' .. kind .. ':' .. USER .. ':' .. name
end

-- A conversation, or nil. Nobody holds one that has no `fence`.
local function conversation()
  local found = redis.call(
    'HMGET', HERE, 'seq', 'total', 'fence', 'owner', 'until', 'state', 'open', 'segment', 'base', 'title'
  )
  if not found[1] then return nil end
  return {
    seq = tonumber(found[1]), total = tonumber(found[2]), fence = found[3], owner = found[4],
    ends = tonumber(found[5] or 0), state = found[6], open = found[7], segment = found[8],
    base = tonumber(found[9]), title = found[10],
  }
end

-- For how many microseconds somebody else holds it; nil when nobody does.
local function held(found, owner)
  local left = found.ends - now()
  if found.fence and found.owner ~= owner and left > 0 then return left end
end

-- A lease that is given up takes its fence along: nothing of its holder that is still under way gets through.
-- HDEL also works where there is no memory left.
local function give_up()
  redis.call('HDEL', HERE, 'fence', 'owner', 'until', 'mark')
end
