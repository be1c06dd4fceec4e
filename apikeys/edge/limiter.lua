-- What a process has to say about some keys, and what it asks for: answered for all of them at once.
--
-- KEYS[1]  how the names begin. A name is that and the key's id, so this is for one Redis or Valkey,
--          not for a cluster.
-- ARGV[1]  the process, 8 bytes
-- ARGV[2]  the window, ARGV[3] how long a claim may be used: milliseconds
-- ARGV[4]  for each key: its id, its limit, what the process still holds of its claim, how many calls
--          are waiting, how many it would like to claim, and the uses of its claim since it last spoke:
--          how many microseconds ago each was
-- Returns  for each key: how many of those waiting are let in, how many are claimed, how many are left
--          for anybody, and in how many milliseconds there will be more
--
-- Held for a key: the sum of its uses; the claim of each process, until when it counts; the uses,
-- earliest first, each with the moment in which it leaves the window. What is claimed counts as
-- used until the process has said what became of it, or has been silent for too long.
--
-- The clock is Redis' own. After it was set back, what is held may lie too far ahead: no use counts
-- for longer than a window from now, and no claim for longer than one that is made now.
local HEAD, CLAIM, USE, USE_BYTES = '<I4I2', '<c8I4d', '<dI4', 12
-- Above this limit, uses that leave within so many milliseconds are held as one, with the latest.
local MANY, GRID = 6000, 10

local process, window, hold, said = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local claims_end = now + hold + window

local function leaves(age, limit)
  local moment = now - age / 1000 + window
  return limit > MANY and math.ceil(moment / GRID) * GRID or moment
end

local function add(uses, moment, count)
  local at = #uses - USE_BYTES + 1
  while at > 0 do
    local other, others = struct.unpack(USE, uses, at)
    if other == moment then
      return uses:sub(1, at - 1) .. struct.pack(USE, moment, others + count) .. uses:sub(at + USE_BYTES)
    end
    if other < moment then break end
    at = at - USE_BYTES
  end
  at = at + USE_BYTES
  return uses:sub(1, at - 1) .. struct.pack(USE, moment, count) .. uses:sub(at)
end

local function no_later(uses, latest)
  local at, count = #uses - USE_BYTES + 1, 0
  while at > 0 do
    local moment, number = struct.unpack(USE, uses, at)
    if moment <= latest then break end
    at, count = at - USE_BYTES, count + number
  end
  return uses:sub(1, at + USE_BYTES - 1) .. struct.pack(USE, latest, count)
end

local answers, place = {}, 1
while place <= #said do
  local id, limit, keep, waiting, wanted, told
  id, limit, keep, waiting, wanted, told, place = struct.unpack('<c16I4I4I4I4I2', said, place)
  local name = KEYS[1] .. id
  local value = redis.call('GET', name)

  local used, claimed, claims, uses = 0, 0, {}, ''
  if value then
    local number, at
    used, number, at = struct.unpack(HEAD, value)
    for _ = 1, number do
      local whose, count, counts_until
      whose, count, counts_until, at = struct.unpack(CLAIM, value, at)
      if whose ~= process and counts_until > now then
        claimed = claimed + count
        claims[#claims + 1] = struct.pack(CLAIM, whose, count, math.min(counts_until, claims_end))
      end
    end
    while at <= #value do
      local moment, count, after = struct.unpack(USE, value, at)
      if moment > now then break end
      used, at = used - count, after
    end
    uses = value:sub(at)
    if #uses > 0 and struct.unpack(USE, uses, #uses - USE_BYTES + 1) > now + window + GRID then
      uses = no_later(uses, now + window)
    end
  end

  for _ = 1, told do
    local age
    age, place = struct.unpack('<I4', said, place)
    if leaves(age, limit) > now then
      used, uses = used + 1, add(uses, leaves(age, limit), 1)
    end
  end

  local free = limit - used - claimed - keep
  local let_in = math.max(0, math.min(waiting, free))
  if let_in > 0 then
    used, free, uses = used + let_in, free - let_in, add(uses, leaves(0, limit), let_in)
  end
  -- All that is claimed is at most a tenth: who keeps below nine tenths is refused by nobody's claim.
  local claim = math.max(0, math.min(wanted, free, math.floor(limit / 10) - claimed - keep))
  free = free - claim
  if keep + claim > 0 then
    claims[#claims + 1] = struct.pack(CLAIM, process, keep + claim, claims_end)
  end

  -- Somebody who is refused is let in when enough have left that one more may come.
  local needed, left, wait, at = let_in < waiting and 1 - free or 1, 0, window, 1
  while at <= #uses and left < needed do
    local moment, count
    moment, count, at = struct.unpack(USE, uses, at)
    left, wait = left + count, moment - now
  end
  answers[#answers + 1] = struct.pack('<I4I4I4I4', let_in, claim, math.max(0, free), math.ceil(wait))

  if used == 0 and #claims == 0 then
    redis.call('DEL', name)
  else
    value = struct.pack(HEAD, used, #claims) .. table.concat(claims) .. uses
    redis.call('SET', name, value, 'PX', string.format('%d', window + hold))
  end
end
return table.concat(answers)
