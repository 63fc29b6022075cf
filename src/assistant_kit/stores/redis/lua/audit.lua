-- The audit chain. There is no SHA-256 here: the client computes the next link from the head it knows, ARGV[3];
-- ARGV[4] is the entry (8 bytes of time, 32 of digest, 32 of link), ARGV[5] its salt and payload.
local LINKS, PAYLOADS = ROOT .. ':links:' .. USER, ROOT .. ':payloads:' .. USER

-- Microseconds that the time of an entry, which the client can only guess, may differ from the time here.
local ASTRAY = 5000000

-- The time of an entry in microseconds.
local function time_of(entry)
  local time = 0
  for n = 1, 8 do time = 256 * time + entry:byte(n) end
  return time
end

-- What to answer when the chain does not go on as the client thinks, or not at this time, or not above `floor`: nothing
-- was changed, and it asks again.
local function refused(floor)
  if root[2] ~= '1' then return nil end
  if ARGV[4] == '' then return {'AUDIT'} end
  local last = redis.call('LINDEX', LINKS, -1)
  local head = last and last:sub(41) or string.rep('\0', 32)
  if head ~= ARGV[3] then return {'HEAD', last or ''} end
  local time, here, least = time_of(ARGV[4]), now(), tonumber(floor or 0)
  -- A clock that was set back stands still here until it has caught up; so does that of a chain.
  local stands = last and last:sub(1, 8) == ARGV[4]:sub(1, 8)
  local late = time > math.max(here, tonumber(root[3] or 0)) + ASTRAY and not stands
  if late or time < here - ASTRAY or time <= least then
    return {'TIME', last or '', text(math.max(here, least + 1))}
  end
end

-- The time of a write, and the time that its records bear, if it has any: where they are chained, that of the link which
-- notes them. Both as text, and the first is never less.
local function tick_of_records(any)
  if root[2] ~= '1' or not any then
    local at = tick()
    return at, at
  end
  local time = time_of(ARGV[4])
  root[3] = text(math.max(time, tonumber(root[3] or 0)))
  return tick(), text(time)
end

-- Before a conversation of this name is made anew: no fence of the old one is above the last tick.
local function note_drop()
  if root[2] == '1' and root[3] then redis.call('HSET', ROOT, 'dropped', root[3]) end
end

local function chain()
  if root[2] == '1' then
    redis.call('RPUSH', LINKS, ARGV[4])
    redis.call('RPUSH', PAYLOADS, ARGV[5])
  end
end
