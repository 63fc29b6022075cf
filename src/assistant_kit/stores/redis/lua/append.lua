-- ARGV[6] is the fence, [7] the number of records before, [8] the state, [9] the open turn, [10] 1 to give the lease up;
-- then three for each record.
local FIRST = 11

-- Whether these very records stand there already, and the fence of the last.
local function has(found, after)
  local count = (#ARGV - FIRST + 1) / 3
  if count == 0 or after < 0 or after + count > found.seq then return false end
  local next_part = backwards(found, after + count, after + 1)
  local part, first = next_part(1000)
  local fence
  while part do
    for n = #part, 1, -1 do
      local written, length, start = part[n]:match('^%d+ %d+ (%d+) %d+ (%d+) %d+ ()')
      fence = fence or written
      if part[n]:sub(start, start + length - 1) ~= ARGV[FIRST + (first + n - after - 2) * 3 + 1] then return false end
    end
    part, first = next_part(1000)
  end
  return true, fence
end

local function repeated(found, after)
  local done, fence = has(found, after)
  -- A last write that gave the lease up may be repeated: it took place if these are its records.
  if found.fence ~= ARGV[6] and not (done and ARGV[10] == '1' and fence == ARGV[6]) then return {'LOST'} end
  if not done then return {'CONFLICT', text(found.seq)} end
  tick() -- a write, so that waiting for the disk also waits for what is repeated
  return {'OK'}
end

local function taken(found)
  for n = FIRST, #ARGV, 3 do
    if locate(found, ARGV[n + 1]) then return true end
  end
  return false
end

local function main()
  local found = conversation()
  if not found then return {'LOST'} end
  local after = tonumber(ARGV[7])
  if found.fence ~= ARGV[6] or found.seq ~= after then return repeated(found, after) end
  if taken(found) then return {'CONFLICT', text(found.seq)} end
  check_segment(found)
  if ARGV[FIRST] then
    local refusal = refused()
    if refusal then return refusal end
  end
  local at, written = tick_of_records(ARGV[FIRST])
  store(found, ARGV[6], at, written, ARGV[8], ARGV[9], FIRST)
  if ARGV[10] == '1' then give_up() end
  if ARGV[FIRST] then chain() end
  return {'OK'}
end
