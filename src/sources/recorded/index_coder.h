// One description of the index for both ways: what the writer puts down in this order, the reader takes in this order.
#pragma once

#include <cstddef>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "vitrine/base/bytes.h"

namespace vitrine::recorded {

inline constexpr std::size_t kMostText = 64 * 1024;

class Writer {
public:
    static constexpr bool kReads = false;

    template <GuestScalar T>
    void number(const T& value) {
        const std::size_t at = bytes_.size();
        bytes_.resize(at + sizeof(T));
        std::memcpy(bytes_.data() + at, &value, sizeof(T));
    }
    // A longer one is cut: no text of ours is.
    void text(const std::string& value) {
        const auto size = static_cast<std::uint32_t>(std::min(value.size(), kMostText));
        number(size);
        const auto from = std::as_bytes(std::span(value)).first(size);
        bytes_.insert(bytes_.end(), from.begin(), from.end());
    }
    template <class T>
    void count(const std::vector<T>& list, std::size_t most, std::size_t) {
        ok_ = ok_ && list.size() <= most;
        number(static_cast<std::uint32_t>(list.size()));
    }
    void require(bool) {}

    [[nodiscard]] bool ok() const { return ok_; }
    [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }

private:
    std::vector<std::byte> bytes_;
    bool ok_ = true;
};

class Reader {
public:
    static constexpr bool kReads = true;

    explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

    template <GuestScalar T>
    void number(T& value) {
        const auto read = bytes_.get<T>(at_);
        ok_ = ok_ && read.has_value();
        value = ok_ ? *read : T{};
        if (ok_) at_ += sizeof(T);
    }
    void text(std::string& value) {
        std::uint32_t size = 0;
        number(size);
        const auto part = bytes_.sub(at_, size);
        ok_ = ok_ && size <= kMostText && part.has_value();
        if (!ok_) return;
        value.assign(reinterpret_cast<const char*>(part->span().data()), size);
        at_ += size;
    }
    // Makes room for the elements, of which each takes at least `least` bytes.
    template <class T>
    void count(std::vector<T>& list, std::size_t most, std::size_t least) {
        std::uint32_t size = 0;
        number(size);
        require(size <= most && size <= (bytes_.size() - at_) / least);
        if (ok_) list.resize(size);
    }
    void require(bool condition) { ok_ = ok_ && condition; }

    [[nodiscard]] bool ok() const { return ok_; }
    [[nodiscard]] bool at_end() const { return ok_ && at_ == bytes_.size(); }

private:
    ByteView bytes_;
    std::size_t at_ = 0;
    bool ok_ = true;
};

}  // namespace vitrine::recorded
