-- How segments are shared. `refs` counts the conversations and segments that need one; without it there is one.

-- Make a segment that begins with the first `at` records of a conversation; return the sum of their tokens as text.
local function share(found, at, new)
  if at == 0 then return '0' end
  local parent, base = segment_with(found, at)
  local last = redis.call('LINDEX', key('records', parent), at - base - 1)
  if not last then error('DAMAGED: segment ' .. parent .. ' has lost records') end
  redis.call('HSETNX', key('segment', parent), 'refs', 1)
  redis.call('HINCRBY', key('segment', parent), 'refs', 1)
  redis.call('HSET', key('segment', new), 'parent', parent, 'base', text(at), 'refs', 1)
  return last:match('^%d+ (%d+) ')
end

-- Let a segment go, and with it each parent that nobody else needs.
local function drop(segment)
  while segment do
    local shared = redis.call('HMGET', key('segment', segment), 'parent', 'refs')
    if tonumber(shared[2] or 1) > 1 then
      redis.call('HINCRBY', key('segment', segment), 'refs', -1)
      return
    end
    redis.call('UNLINK', key('segment', segment), key('records', segment), key('ids', segment))
    segment = shared[1]
  end
end
