// SPDX-License-Identifier: Apache-2.0
//
// Says what the text form has words for and counts the rest. Facts make the first line, births in a row one streams
// line; both wait until a record of another kind comes.
#include <array>
#include <utility>

#include "trace/record_sink.hpp"
#include "trace/text_form.hpp"

namespace weir::trace {

namespace {

enum loss_index {
  lost_facts,
  lost_sites,
  lost_stream_names,
  lost_retirements,
  lost_snapshots,
  lost_uses,
  lost_events,
  lost_waits,
  lost_synchronizations,
  lost_marks,
  lost_failure_details,
  lost_counts,
  lost_comments,
  lost_times,
  lost_threads,
  lost_devices,
  lost_alignments,
  lost_memory_kinds,
  lost_call_sites,
  loss_count
};
constexpr std::array<const char*, loss_count> loss_names = {
    "facts that no header can hold, or below the head",
    "frames of call stacks",
    "stream names with spaces",
    "stream retirements",
    "allocations live at the start, written as plain allocations",
    "uses on second streams",
    "events",
    "waits between streams",
    "synchronizations",
    "marks",
    "texts and reasons of failures",
    "counts of lost events",
    "comments that would read as something else",
    "times",
    "thread numbers",
    "device numbers",
    "alignments",
    "kinds of memory",
    "call sites of records",
};

class text_sink final : public record_sink {
 public:
  explicit text_sink(std::unique_ptr<byte_sink> out) : out_(std::move(out)) {}

  result<void, file_error> write(const record& r) override {
    if (r.kind == record_kind::fact) {
      take_fact(r);
    } else {
      write_header();
      count_common_losses(r);
      write_line(r);
    }
    return text_.size() < buffer_bytes ? result<void, file_error>() : write_text();
  }
  result<void, file_error> flush() override {
    write_header();
    end_streams_line();
    if (auto done = write_text(); !done) return done;
    return out_->flush();
  }
  result<void, file_error> finish() override {
    if (auto done = flush(); !done) return done;
    return out_->close();
  }
  std::vector<loss> losses() const override {
    std::vector<loss> all;
    for (std::size_t i = 0; i < loss_count; ++i) {
      if (losses_[i] != 0) all.push_back({loss_names[i], losses_[i]});
    }
    return all;
  }

 private:
  static constexpr std::size_t buffer_bytes = std::size_t{64} << 10;

  void count(loss_index what, bool met = true) { losses_[what] += met ? 1 : 0; }

  void take_fact(const record& r) {
    fact f{std::string(r.name), std::string(r.text), r.quoted};
    const bool fits = !header_written_ && fits_header(f) && header_bytes_ + f.key.size() + 2 * f.value.size() < 60'000;
    count(lost_facts, !fits);
    if (!fits) return;
    header_bytes_ += f.key.size() + 2 * f.value.size() + 4;
    facts_.push_back(std::move(f));
  }

  void write_header() {
    if (std::exchange(header_written_, true)) return;
    text_ += render_header(facts_);
    text_ += '\n';
  }

  // What has no line does not end this one, so that text written from what is read here is the same.
  void end_streams_line() {
    if (streams_line_bytes_ != 0) text_ += '\n';
    streams_line_bytes_ = 0;
  }

  void count_common_losses(const record& r) {
    count(lost_times, r.time_ns != 0);
    count(lost_threads, r.thread != 0);
    count(lost_devices, r.device != 0);
    count(lost_alignments, r.alignment != 0);
    count(lost_memory_kinds, r.memory != memory_kind::pool);
    count(lost_call_sites, r.site != 0);
  }

  void write_line(const record& r) {
    switch (r.kind) {
      case record_kind::live: count(lost_snapshots); return write_event(r);
      case record_kind::failure:
        count(lost_failure_details, r.reason != failure_reason::out_of_memory || !r.text.empty());
        return write_event(r);
      case record_kind::allocate:
      case record_kind::deallocate:
      case record_kind::reusable:
      case record_kind::native_allocate:
      case record_kind::native_deallocate: return write_event(r);
      case record_kind::stream_birth: return write_birth(r);
      case record_kind::comment: return write_comment(r.text);
      case record_kind::site: return count(lost_sites);
      case record_kind::stream_retirement: return count(lost_retirements);
      case record_kind::use: return count(lost_uses);
      case record_kind::event: return count(lost_events);
      case record_kind::wait: return count(lost_waits);
      case record_kind::synchronize: return count(lost_synchronizations);
      case record_kind::mark: return count(lost_marks);
      case record_kind::lost: return count(lost_counts);
      case record_kind::fact: return;
    }
  }

  void write_event(const record& r) {
    end_streams_line();
    append_event(text_, r);
    text_ += '\n';
  }

  void write_birth(const record& r) {
    constexpr std::size_t word_bytes_max = 4096;
    const bool fits = fits_word(r.text) && r.text.size() < word_bytes_max;
    count(lost_stream_names, !fits);
    const std::string word = std::to_string(r.stream) + '=' + std::string(fits ? r.text : std::string_view());
    if (streams_line_bytes_ + word.size() > text_bytes_max / 2) end_streams_line();
    if (streams_line_bytes_ == 0) text_ += "# streams";
    text_.append(" ").append(word);
    streams_line_bytes_ += word.size() + 1;
  }

  // A comment that a reader would take for an event, or that holds a line end, must not be smuggled in.
  void write_comment(std::string_view comment) {
    const std::string line = '#' + std::string(comment);
    const bool fits = line.size() <= text_bytes_max && line.find('\n') == std::string::npos && !line.ends_with('\r') &&
                      classify_line(line) == line_kind::comment;
    if (!fits) return count(lost_comments);
    end_streams_line();
    text_.append(line) += '\n';
  }

  result<void, file_error> write_text() {
    auto done = out_->write(text_);
    text_.clear();
    return done;
  }

  std::unique_ptr<byte_sink> out_;
  std::string text_;
  std::vector<fact> facts_;
  std::size_t header_bytes_ = 0;
  bool header_written_ = false;
  std::size_t streams_line_bytes_ = 0;
  std::array<std::uint64_t, loss_count> losses_{};
};

}  // namespace

std::unique_ptr<record_sink> make_text_sink(std::unique_ptr<byte_sink> out) {
  return std::make_unique<text_sink>(std::move(out));
}

}  // namespace weir::trace
