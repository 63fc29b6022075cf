-- The records of a conversation lie in its segment, those with seq <= base in the parent of the segment, and so on. A
-- segment that was never forked from and has no parent has no `segment` key.
-- A record is `tokens total fence at length-of-id length-of-kind id kind body`, with the spaces only between numbers.

local function parent_of(segment)
  local parent = redis.call('HGET', key('segment', segment), 'parent')
  if not parent then error('DAMAGED: segment ' .. segment .. ' has lost its parent') end
  return parent, tonumber(redis.call('HGET', key('segment', parent), 'base') or 0)
end

-- The segment in which record `seq` lies, with its base.
local function segment_with(found, seq)
  local segment, base = found.segment, found.base
  while seq <= base do segment, base = parent_of(segment) end
  return segment, base
end

-- A function that returns, each time, up to `size` records, the older ones in front, and the seq of the first. It goes
-- from the record `top` down to the record `bottom`, and returns nil at the end.
local function backwards(found, top, bottom)
  local segment, base = found.segment, found.base
  return function(size)
    if top < bottom then return nil end
    while top <= base do segment, base = parent_of(segment) end
    local first = math.max(bottom, base + 1, top - size + 1)
    local part = redis.call('LRANGE', key('records', segment), first - base - 1, top - base - 1)
    if #part ~= top - first + 1 then error('DAMAGED: segment ' .. segment .. ' has lost records') end
    top = first - 1
    return part, first
  end
end

-- The seq of a record as text, by its id; nil when there is none.
local function locate(found, id)
  local segment, base, bound = found.segment, found.base, found.seq
  while true do
    local seq = redis.call('HGET', key('ids', segment), id)
    if seq and tonumber(seq) <= bound then return seq end
    if base == 0 then return nil end
    bound = base
    segment, base = parent_of(segment)
  end
end
