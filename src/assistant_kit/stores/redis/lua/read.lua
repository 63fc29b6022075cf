-- ARGV[6] is the newest record to return, or empty, [7] the oldest, [8] the tokens they may have, or empty, [9] their
-- number, or empty, [10] the segment in which the pages before were found, or empty.
local PAGE_RECORDS, PAGE_BYTES = 1000, 1048576 -- nobody else is served while a script runs

local function main()
  local found = conversation()
  if not found then return {'NONE'} end
  if ARGV[10] ~= '' and ARGV[10] ~= found.segment then return {'MOVED'} end
  local top = math.min(found.seq, tonumber(ARGV[6]) or found.seq)
  local room, count = tonumber(ARGV[8]) or math.huge, math.min(PAGE_RECORDS, tonumber(ARGV[9]) or math.huge)
  local records, bytes, size = {}, 0, 4
  local next_part = backwards(found, top, tonumber(ARGV[7]))
  local more = 1
  while #records < count and bytes < PAGE_BYTES do
    local part = next_part(math.min(size, count - #records))
    if not part then
      more = 0
      break
    end
    for n = #part, 1, -1 do
      room = room - part[n]:match('^%d+')
      if room < 0 then return {'OK', found.segment, text(top), 0, records} end
      records[#records + 1] = part[n]
      bytes = bytes + #part[n]
    end
    -- As many again, unless they are large.
    size = math.max(1, math.min(#records, math.floor((PAGE_BYTES - bytes) * #records / (bytes + 1))))
  end
  return {'OK', found.segment, text(top), more, records}
end
