-- ARGV[6] is the name after which to begin, ARGV[7] how many to return.
local function main()
  return {'OK', redis.call('ZRANGEBYLEX', USERS, '(' .. ARGV[6], '+', 'LIMIT', 0, ARGV[7])}
end
