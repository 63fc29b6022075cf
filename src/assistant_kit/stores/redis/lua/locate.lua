-- ARGV[6] is the id of a record.
local function main()
  local found = conversation()
  return {'OK', found and locate(found, ARGV[6]) or ''}
end
