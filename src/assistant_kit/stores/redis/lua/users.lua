-- The users of a shard, in the order of the bytes of their names.
local USERS = ROOT .. ':users'

local function unescaped(name)
  return (name:gsub('%%3A', ':'):gsub('%%25', '%%'))
end
