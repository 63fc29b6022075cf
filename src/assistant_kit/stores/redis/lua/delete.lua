local function main()
  local found = conversation()
  if not found then return {'NONE'} end
  local left = held(found)
  if left then return {'BUSY', text(left)} end
  local refusal = refused()
  if refusal then return refusal end
  -- ZREM and UNLINK also work where there is no memory left.
  redis.call('ZREM', LIST, CONVERSATION)
  redis.call('UNLINK', HERE)
  note_drop()
  drop(found.segment)
  list_state(found.state)
  chain()
  if redis.call('EXISTS', LIST, LINKS) == 0 then redis.call('ZREM', USERS, unescaped(USER)) end
  return {'OK'}
end
