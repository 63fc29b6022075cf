local function main()
  local found = shown(HERE)
  if not found[1] then return {'NONE'} end
  return {'OK', CONVERSATION, unpack(found)}
end
