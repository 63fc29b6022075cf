-- The audit chain. There is no SHA-256 here: the client computes the next link from the head it knows, ARGV[3];
-- ARGV[4] is the entry (8 bytes of time, 32 of digest, 32 of link), ARGV[5] its salt and payload.
local LINKS, PAYLOADS = ROOT .. ':links:' .. USER, ROOT .. ':payloads:' .. USER

-- What to answer when the chain does not go on as the client thinks: nothing was changed, and it asks again.
local function refused()
  if root[2] ~= '1' then return nil end
  if ARGV[4] == '' then return {'AUDIT'} end
  local last = redis.call('LINDEX', LINKS, -1)
  local head = last and last:sub(41) or string.rep('\0', 32)
  if head ~= ARGV[3] then return {'HEAD', last or ''} end
end

local function chain()
  if root[2] == '1' then
    redis.call('RPUSH', LINKS, ARGV[4])
    redis.call('RPUSH', PAYLOADS, ARGV[5])
  end
end
