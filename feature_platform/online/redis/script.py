"""The Lua scripts of guarded writes, deletes and scans, and the stored times they compare."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from feature_platform.encoding.buffers import constant, fixed_width, join, varints
from feature_platform.encoding.encoded_rows import NO_TIME

# Feast stores a row's event time as a serialized Timestamp. The created time is in the same string,
# as a field that Timestamp does not have: every protobuf reader skips it, a write by Feast itself
# drops it with the row, and both times are always replaced together.
_CREATED_TAG = b"\x79"  # field 15, eight bytes
_CREATED_BYTES = 9
_DECODE = """
local function decode(s)
  local sec, nanos, hi, lo = 0, 0, nil, nil
  local i, n = 1, #s
  while i <= n do
    local tag = string.byte(s, i)
    i = i + 1
    if tag == 121 then
      local a, b, c, d, e, f, g, h = string.byte(s, i, i + 7)
      lo = a + b * 256 + c * 65536 + d * 16777216
      hi = e + f * 256 + g * 65536 + h * 16777216
      if hi >= 2147483648 then hi = hi - 4294967296 end
      i = i + 8
    else
      local low, high, place, mul = 0, 0, 0, 1
      while true do
        local byte = string.byte(s, i)
        i = i + 1
        place = place + 1
        if place == 6 then mul = 1 end
        if place <= 5 then low = low + (byte % 128) * mul
        else high = high + (byte % 128) * mul end
        mul = mul * 128
        if byte < 128 then break end
      end
      if place == 10 then high = high - 536870912 end
      local value = high * 34359738368 + low
      if tag == 8 then sec = value elseif tag == 16 then nanos = value end
    end
  end
  return sec, nanos, hi, lo
end
local function seconds(s)
  -- Of a time between 1978 and 3058, whose seconds take five bytes; nil of another.
  local tag, a, b, c, d, e = string.byte(s, 1, 6)
  if tag == 8 and e and a > 127 and b > 127 and c > 127 and d > 127 and e < 128 then
    return a + b * 128 + c * 16384 + d * 2097152 + e * 268435456 - 270549120
  end
  return nil
end
local function within(sec, nanos, at, count)
  for r = 0, count - 1 do
    local p = at + r * 4
    local ls, ln = tonumber(ARGV[p]), tonumber(ARGV[p + 1])
    local hs, hn = tonumber(ARGV[p + 2]), tonumber(ARGV[p + 3])
    if (sec > ls or (sec == ls and nanos >= ln)) and (sec < hs or (sec == hs and nanos < hn)) then
      return true
    end
  end
  return false
end
"""

WRITE = (
    _DECODE
    + """
local features = tonumber(ARGV[1])
local field = ARGV[2]
local ttl = tonumber(ARGV[3])
local created_counts = ARGV[4] == '1'
local ranges = tonumber(ARGV[5])
local names = 6 + ranges * 4
local row = {'', field, ''}
for f = 1, features do row[2 + f * 2] = ARGV[names + f - 1] end
local at = names + features
local written = 0
local function newer(old, new)
  local so, sn = seconds(old), seconds(new)
  if so and sn and sn > so then return true end
  local os, on, oh, ol = decode(old)
  local ns, nn, nh, nl = decode(new)
  if ns ~= os then if ns > os then return true end
  elseif nn ~= on then if nn > on then return true end
  elseif not created_counts or not oh then return true
  elseif nh and (nh > oh or (nh == oh and nl >= ol)) then return true end
  return ranges > 0 and within(os, on, 6, ranges)
end
for k = 1, #KEYS do
  local new = ARGV[at]
  local old = redis.call('HGET', KEYS[k], field)
  if not old or old == new or newer(old, new) then
    row[1] = KEYS[k]
    row[3] = new
    for f = 1, features do row[3 + f * 2] = ARGV[at + f] end
    redis.call('HSET', unpack(row))
    if ttl > 0 then redis.call('EXPIRE', KEYS[k], ttl) end
    written = written + 1
  end
  at = at + features + 1
end
return written
"""
)
"""KEYS: the rows' keys. ARGV: number of features, time field, TTL in seconds or 0, whether to
compare created times, number of governed ranges, four numbers per range, feature fields, then for
each key its time and its values. Returns how many rows were written."""

DELETE = (
    _DECODE
    + """
local field = ARGV[1]
local deleted = 0
for k = 1, #KEYS do
  local old = redis.call('HGET', KEYS[k], field)
  if old then
    local sec, nanos = decode(old)
    if within(sec, nanos, 2, 1) then
      redis.call('HDEL', KEYS[k], field, unpack(ARGV, 6))
      deleted = deleted + 1
    end
  end
end
return deleted
"""
)
"""KEYS: the rows' keys. ARGV: time field, four numbers of the range, feature fields."""

SCAN = (
    _DECODE
    + """
local page = redis.call('SCAN', ARGV[6], 'MATCH', ARGV[7], 'COUNT', ARGV[8])
local found = {page[1]}
for _, key in ipairs(page[2]) do
  local stored = redis.call('HGET', key, ARGV[1])
  if stored then
    local sec, nanos = decode(stored)
    if within(sec, nanos, 2, 1) then found[#found + 1] = key end
  end
end
return found
"""
)
"""ARGV: time field, four numbers of the range, cursor, pattern, how many keys to scan. Returns the
next cursor and the keys whose time is in the range."""

READ = """
local found = {}
local count = #ARGV
for k = 1, #KEYS do
  local values = redis.call('HMGET', KEYS[k], unpack(ARGV))
  for f = 1, count do found[#found + 1] = values[f] end
end
return found
"""
"""KEYS: the rows' keys. ARGV: fields. Returns the values of one key after another."""


def without_created(stored: bytes) -> bytes:
    """A stored time as Feast writes it.

    Nine bytes before the end a Timestamp alone can only have a byte of an unfinished varint, which
    is greater than the tag of a created time.
    """
    tail = len(stored) - _CREATED_BYTES
    return stored[:tail] if tail >= 0 and stored[tail : tail + 1] == _CREATED_TAG else stored


def encode_times(event_us: npt.NDArray[np.int64], created_us: npt.NDArray[np.int64]) -> pa.Array:
    """Event times as serialized ``Timestamp``, each followed by its created time if present."""
    count = len(event_us)
    seconds, micros = np.divmod(event_us, 1_000_000)
    empty = pa.scalar(b"", pa.binary())
    parts = []
    for tag, numbers in ((b"\x08", seconds), (b"\x10", micros * 1000)):
        field = join(constant(tag, count), varints(numbers.astype(np.int64)))
        # Protobuf leaves out zeros.
        parts.append(pc.if_else(pa.array(numbers != 0), field, empty))
    if (created_us != NO_TIME).any():
        created = join(constant(_CREATED_TAG, count), fixed_width(created_us))
        parts.append(pc.if_else(pa.array(created_us != NO_TIME), created, empty))
    return join(*parts)
