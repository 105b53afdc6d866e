// What was decoded of a kernel build, kept by its build-id in the user's cache folder, so that the next look at any guest of that
// build begins with it. An entry is never trusted as such: it is parsed as hostile input, its build-id and hashes of the
// symbol tables and types must equal the guest's own, and the live checks are made again.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "os/linux/find/prove.h"

namespace vitrine::linux_os {

class ProfileCache {
public:
    // "" takes $XDG_CACHE_HOME/vitrine, else ~/.cache/vitrine.
    explicit ProfileCache(std::string directory);

    // The entry of this image's build, checked against the guest; nullopt when there is none or it does not fit. On
    // success the kernel is as good as proven (all checks of prove_kernel passed, types not parsed).
    [[nodiscard]] std::optional<ProvenKernel> load(PhysicalMemory& memory, const KernelImage& image) const;
    // Keeps a kernel whose layout came from its own BTF, under the hashes of the copies it was decoded from: the guest is not read again.
    // Failing to write is not an error of the question asked: the reason is returned.
    Result<void> store(const ProvenKernel& kernel) const;

    [[nodiscard]] const std::string& directory() const { return directory_; }

private:
    std::string directory_;
};

// The file's format, apart for tests: text (JSON) to kernel and back. parse fills everything that does not depend on the guest's
// load address from `image`; malformed names the first thing that is wrong.
struct CachedProfile {
    ProvenKernel kernel;
    std::uint64_t tables_hash = 0;  // see profile_hash.h
    std::uint64_t btf_hash = 0;
};
[[nodiscard]] std::string write_profile(const ProvenKernel& kernel, std::uint64_t tables_hash, std::uint64_t btf_hash);
Result<CachedProfile> parse_profile(std::string_view text, const KernelImage& image);

}  // namespace vitrine::linux_os
