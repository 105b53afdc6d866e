// A buffer of many megabytes that is filled once: taken from the kernel in huge pages where it gives them, and not cleared twice.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <span>
#include <utility>

namespace vitrine {

class LargeBuffer {
public:
    LargeBuffer() = default;
    // Zero-filled. size() is 0 when the host has no memory left (or n is 0): check before use.
    explicit LargeBuffer(std::size_t n) {
        if (n == 0) return;
        void* at = mmap(nullptr, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED) return;
        madvise(at, n, MADV_HUGEPAGE);  // a wish; refused where the host has none
        data_ = static_cast<std::byte*>(at);
        size_ = n;
    }
    LargeBuffer(LargeBuffer&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    LargeBuffer& operator=(LargeBuffer&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~LargeBuffer() {
        if (data_ != nullptr) munmap(data_, size_);
    }

    [[nodiscard]] std::byte* data() { return data_; }
    [[nodiscard]] const std::byte* data() const { return data_; }
    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] std::span<std::byte> span() { return {data_, size_}; }
    [[nodiscard]] std::span<const std::byte> span() const { return {data_, size_}; }
    operator std::span<const std::byte>() const { return span(); }

private:
    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace vitrine
