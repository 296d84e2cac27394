// SPDX-License-Identifier: Apache-2.0
//
// The payload is a set of flags, one per common field that follows because it differs from the context (thread, device,
// stream) or from zero (the rest), then the fields of the kind. Encoder and decoder walk the same list, kind_fields(),
// as two coders, so that they cannot drift apart.
#include "trace/record_codec.hpp"

#include <bit>

namespace weir::trace {

namespace {

enum common_flag : unsigned {
  has_time = 1,
  has_thread = 2,
  has_device = 4,
  has_stream = 8,
  has_alignment = 16,
  has_memory = 32,
  has_site = 64,
};
constexpr std::uint64_t known_flags = 127;
constexpr unsigned on_host = has_time | has_thread | has_device;
constexpr unsigned on_stream = on_host | has_stream;
constexpr unsigned of_block = on_stream | has_alignment | has_memory | has_site;

// The common fields each kind has; a reader leaves the others zero.
constexpr unsigned common_fields(record_kind kind) noexcept {
  switch (kind) {
    case record_kind::fact:
    case record_kind::site:
    case record_kind::comment: return 0;
    case record_kind::stream_birth:
    case record_kind::stream_retirement:
    case record_kind::event:
    case record_kind::wait:
    case record_kind::synchronize: return on_stream;
    case record_kind::live:
    case record_kind::allocate:
    case record_kind::failure: return of_block;
    case record_kind::deallocate:
    case record_kind::use:
    case record_kind::mark: return on_stream | has_site;
    case record_kind::native_allocate: return on_stream | has_memory | has_site;
    case record_kind::reusable:
    case record_kind::native_deallocate:
    case record_kind::lost: return on_host;
  }
  return 0;
}

class encoder {
 public:
  explicit encoder(std::string& out) : out_(out) {}

  void number(std::uint64_t n) { put_varint(out_, n); }
  void number(std::uint32_t n) { put_varint(out_, n); }
  // As a difference to `base`.
  void near(std::uint64_t n, std::uint64_t base) { put_varint(out_, zigzag(n - base)); }
  void text(std::string_view bytes) {
    put_varint(out_, bytes.size());
    out_ += bytes;
  }
  void flag(bool b) { put_varint(out_, b ? 1 : 0); }
  template <class Enum>
  void choice(Enum e, Enum, const char*) {
    put_varint(out_, static_cast<std::uint64_t>(e));
  }

 private:
  std::string& out_;
};

class decoder {
 public:
  explicit decoder(std::string_view payload) : from_(payload) {}

  const char* why() const noexcept { return why_; }
  void fail(const char* why) noexcept {
    if (!why_) why_ = why;
  }

  void number(std::uint64_t& n) {
    if (!why_ && !from_.varint(n)) fail("a number is cut or passes 64 bits");
  }
  void number(std::uint32_t& n) {
    std::uint64_t wide = 0;
    number(wide);
    if (wide > UINT32_MAX) fail("a stream, thread or device number passes 32 bits");
    n = static_cast<std::uint32_t>(wide);
  }
  void near(std::uint64_t& n, std::uint64_t base) {
    std::uint64_t coded = 0;
    number(coded);
    n = base + unzigzag(coded);
  }
  void text(std::string_view& bytes) {
    std::uint64_t count = 0;
    number(count);
    if (count > text_bytes_max) return fail("a text is longer than 65536 bytes");
    if (!why_ && !from_.take(count, bytes)) fail("a text is longer than its record");
  }
  void flag(bool& b) {
    std::uint64_t n = 0;
    number(n);
    b = n != 0;
  }
  template <class Enum>
  void choice(Enum& e, Enum last, const char* why) {
    std::uint64_t n = 0;
    number(n);
    if (n > static_cast<std::uint64_t>(last)) return fail(why);
    e = static_cast<Enum>(n);
  }

 private:
  cursor from_;
  const char* why_ = nullptr;
};

// The fields of each kind, in order. `Record` is const for the encoder.
template <class Coder, class Record>
void kind_fields(Coder& coder, Record& r, codec_context& context) {
  switch (r.kind) {
    case record_kind::fact:
      coder.text(r.name);
      coder.text(r.text);
      return coder.flag(r.quoted);
    case record_kind::site:
      coder.number(r.id);
      coder.number(r.parent);
      return coder.text(r.text);
    case record_kind::stream_birth: return coder.text(r.text);
    case record_kind::stream_retirement: return;
    case record_kind::live:
    case record_kind::allocate:
      coder.near(r.id, context.next_id);
      context.next_id = r.id + 1;
      return coder.number(r.bytes);
    case record_kind::deallocate:
    case record_kind::reusable:
    case record_kind::use: return coder.near(r.id, context.next_id);
    case record_kind::event:
      coder.near(r.id, context.next_event);
      context.next_event = r.id + 1;
      return;
    case record_kind::wait: return coder.near(r.id, context.next_event);
    case record_kind::synchronize:
      coder.choice(r.scope, sync_scope::event, "an unknown scope of a synchronize");
      return coder.near(r.id, context.next_event);
    case record_kind::mark:
      coder.choice(r.phase, mark_phase::end, "an unknown phase of a mark");
      return coder.text(r.text);
    case record_kind::failure:
      coder.number(r.bytes);
      coder.choice(r.reason, failure_reason::other, "an unknown reason of a failure");
      return coder.text(r.text);
    case record_kind::native_allocate:
      coder.near(r.id, context.next_native);
      context.next_native = r.id + 1;
      return coder.number(r.bytes);
    case record_kind::native_deallocate: return coder.near(r.id, context.next_native);
    case record_kind::lost: return coder.number(r.count);
    case record_kind::comment: return coder.text(r.text);
  }
}

unsigned flags_of(const record& r, const codec_context& context) noexcept {
  unsigned flags = 0;
  if (r.time_ns != context.time_ns) flags |= has_time;
  if (r.thread != context.thread) flags |= has_thread;
  if (r.device != context.device) flags |= has_device;
  if (r.stream != context.stream) flags |= has_stream;
  if (r.alignment != 0) flags |= has_alignment;
  if (r.memory != memory_kind::pool) flags |= has_memory;
  if (r.site != 0) flags |= has_site;
  return flags & common_fields(r.kind);
}

void encode_common(encoder& coder, const record& r, unsigned flags, codec_context& context) {
  coder.number(std::uint64_t{flags});
  if (flags & has_time) coder.near(r.time_ns, context.time_ns), context.time_ns = r.time_ns;
  if (flags & has_thread) coder.number(context.thread = r.thread);
  if (flags & has_device) coder.number(context.device = r.device);
  if (flags & has_stream) coder.number(context.stream = r.stream);
  if (flags & has_alignment) coder.number(static_cast<std::uint64_t>(std::countr_zero(r.alignment)));
  if (flags & has_memory) coder.number(static_cast<std::uint64_t>(r.memory));
  if (flags & has_site) coder.number(r.site);
}

void decode_alignment(decoder& coder, record& r) {
  std::uint64_t exponent = 0;
  coder.number(exponent);
  if (exponent > 63) return coder.fail("an alignment passes 2^63");
  r.alignment = std::uint64_t{1} << exponent;
}

void decode_memory(decoder& coder, record& r) {
  std::uint64_t n = 0;
  coder.number(n);
  r.memory = n < static_cast<std::uint64_t>(memory_kind::other) ? static_cast<memory_kind>(n) : memory_kind::other;
}

void decode_common(decoder& coder, record& r, codec_context& context) {
  std::uint64_t flags = 0;
  coder.number(flags);
  if (flags & ~known_flags) return coder.fail("flags of a later version");
  if (flags & ~std::uint64_t{common_fields(r.kind)}) return coder.fail("flags of fields that the record cannot have");
  if (flags & has_time) coder.near(context.time_ns, context.time_ns);
  if (flags & has_thread) coder.number(context.thread);
  if (flags & has_device) coder.number(context.device);
  if (flags & has_stream) coder.number(context.stream);
  if (flags & has_alignment) decode_alignment(coder, r);
  if (flags & has_memory) decode_memory(coder, r);
  if (flags & has_site) coder.number(r.site);
  const unsigned fields = common_fields(r.kind);
  if (fields & has_time) r.time_ns = context.time_ns;
  if (fields & has_thread) r.thread = context.thread;
  if (fields & has_device) r.device = context.device;
  if (fields & has_stream) r.stream = context.stream;
}

}  // namespace

const char* unfit_for_trace(const record& r) noexcept {
  const auto kind = static_cast<unsigned>(r.kind);
  if (kind == 0 || kind > record_kind_count) return "a record of no known kind";
  if (r.text.size() > text_bytes_max || r.name.size() > text_bytes_max) return "a text is longer than 65536 bytes";
  if (r.alignment != 0 && !std::has_single_bit(r.alignment)) return "an alignment is no power of two";
  return nullptr;
}

void encode_record(const record& r, codec_context& context, std::string& out) {
  thread_local std::string payload;
  payload.clear();
  encoder coder(payload);
  encode_common(coder, r, flags_of(r, context), context);
  kind_fields(coder, r, context);
  put_varint(out, static_cast<std::uint64_t>(r.kind));
  put_varint(out, payload.size());
  out += payload;
}

decoded decode_record(cursor& from, codec_context& context, record& r, const char*& why) {
  std::uint64_t kind = 0;
  std::uint64_t length = 0;
  std::string_view payload;
  why = "a record is cut";
  if (!from.varint(kind) || !from.varint(length)) return decoded::malformed;
  why = "a record is longer than its chunk";
  if (!from.take(length, payload)) return decoded::malformed;
  why = "a record of kind 0";
  if (kind == 0) return decoded::malformed;
  if (kind > record_kind_count) return decoded::skipped;
  r = record{};
  r.kind = static_cast<record_kind>(kind);
  decoder coder(payload);
  decode_common(coder, r, context);
  kind_fields(coder, r, context);
  why = coder.why();
  return why ? decoded::malformed : decoded::record;
}

}  // namespace weir::trace
