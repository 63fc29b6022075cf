-- How a write that may take place is made. Each record stands in three arguments: tokens, id, and the rest as stored.
local GROUP = 500 -- records for one command: Lua passes some 8,000 values at most

-- Before the first write of a script: nothing is added to a journal that has lost something.
local function check_segment(found)
  local records = key('records', found.segment)
  local here = found.seq - found.base
  if redis.call('LLEN', records) ~= here or redis.call('HLEN', key('ids', found.segment)) ~= here then
    error('DAMAGED: segment ' .. found.segment .. ' has lost records')
  end
end

-- `at` is the time of the write, `written` the one that its records bear.
local function store(found, fence, at, written, state, open, first)
  redis.call('ZADD', LIST, at, CONVERSATION)
  local seq, total, n = found.seq, found.total, first
  while ARGV[n] do
    local records, ids = {}, {}
    while ARGV[n] and #records < GROUP do
      seq, total = seq + 1, total + ARGV[n]
      records[#records + 1] = table.concat({ARGV[n], text(total), fence, written, ARGV[n + 2]}, ' ')
      ids[#ids + 1] = ARGV[n + 1]
      ids[#ids + 1] = text(seq)
      n = n + 3
    end
    redis.call('RPUSH', key('records', found.segment), unpack(records))
    redis.call('HSET', key('ids', found.segment), unpack(ids))
  end
  redis.call('HSET', HERE, 'seq', text(seq), 'total', text(total), 'state', state, 'open', open, 'updated', at)
  list_state(found.state, state, at)
end
