#include "os/linux/profile_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include <fmt/format.h>

#include "base/unique_fd.h"
#include "os/linux/find/build_id.h"
#include "os/linux/profile_hash.h"

namespace vitrine::linux_os {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxEntries = 4096;

// linux-<build-id>@<offset of the notes from _text>+<size>.json: the name alone tells what to look for in a guest, so that no file is
// opened that is not of this build.
struct EntryName {
    std::string build_id;
    std::uint64_t notes = 0;
    std::uint64_t size = 0;
};

std::optional<EntryName> parse_name(std::string_view name) {
    if (!name.starts_with("linux-") || !name.ends_with(".json")) return std::nullopt;
    name.remove_prefix(6);
    name.remove_suffix(5);
    const std::size_t at = name.find('@');
    const std::size_t plus = name.find('+', at == std::string_view::npos ? 0 : at);
    if (at == std::string_view::npos || plus == std::string_view::npos) return std::nullopt;
    EntryName entry;
    entry.build_id = std::string(name.substr(0, at));
    const auto hex = [](std::string_view text, std::uint64_t& out) {
        const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), out, 16);
        return error == std::errc{} && rest == text.data() + text.size();
    };
    if (!hex(name.substr(at + 1, plus - at - 1), entry.notes) || !hex(name.substr(plus + 1), entry.size))
        return std::nullopt;
    if (entry.notes > (1u << 30) || entry.size > 64 * 1024 || entry.build_id.empty()) return std::nullopt;
    return entry;
}

std::string default_directory() {
    if (const char* xdg = std::getenv("XDG_CACHE_HOME"); xdg != nullptr && *xdg == '/')
        return std::string(xdg) + "/vitrine";
    if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/')
        return std::string(home) + "/.cache/vitrine";
    return {};
}

// A regular file of this user's that nobody else can write; whatever else lies there is no entry.
std::optional<std::string> read_file(const fs::path& path) {
    constexpr off_t kMost = 1 << 20;
    const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    struct stat facts{};
    if (!fd || fstat(fd.get(), &facts) != 0 || !S_ISREG(facts.st_mode) || facts.st_size > kMost) return std::nullopt;
    if (facts.st_uid != geteuid() || (facts.st_mode & 022) != 0) return std::nullopt;
    std::string text(static_cast<std::size_t>(facts.st_size), '\0');
    if (read(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) return std::nullopt;
    return text;
}

// The last line of an entry is the keyed hash of what stands before it: an entry that was damaged, or copied from elsewhere, is none.
constexpr std::size_t kSumLine = 18;  // "#", 16 digits, end of line

std::string sum_line(std::string_view text, std::uint64_t key) {
    KeyedHash hash(key);
    hash.add(std::as_bytes(std::span(text)));
    return fmt::format("#{:016x}\n", hash.value());
}

std::optional<std::string> read_entry(const fs::path& path, std::uint64_t key) {
    auto text = read_file(path);
    if (!text || text->size() < kSumLine) return std::nullopt;
    const std::string sum = text->substr(text->size() - kSumLine);
    text->resize(text->size() - kSumLine);
    if (sum != sum_line(*text, key)) return std::nullopt;
    return text;
}

// Each build that was ever looked at leaves one entry; a guest that invents builds must not fill the disk.
bool is_full(const std::string& directory) {
    std::error_code error;
    std::size_t seen = 0;
    for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
        if (++seen >= kMaxEntries) return true;
    }
    return false;
}

// Writes beside the path and renames, so that a run that is killed leaves either the old entry or the new one.
bool replace_file(const std::string& path, const std::string& text) {
    std::string temporary = path + ".XXXXXX";
    UniqueFd fd(mkostemp(temporary.data(), O_CLOEXEC));
    if (!fd) return false;
    const bool written = write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
    const bool closed = close(fd.release()) == 0;
    if (written && closed && rename(temporary.c_str(), path.c_str()) == 0) return true;
    unlink(temporary.c_str());
    return false;
}

Error io_error(std::string text) { return Error::with_text(Errc::io, Origin::user, std::move(text)); }

}  // namespace

ProfileCache::ProfileCache(std::string directory)
    : directory_(directory.empty() ? default_directory() : std::move(directory)) {}

std::optional<ProvenKernel> ProfileCache::load(PhysicalMemory& memory, const KernelImage& image) const {
    if (directory_.empty()) return std::nullopt;
    const auto key = cache_key(directory_, false);
    if (!key) return std::nullopt;
    std::error_code error;
    std::size_t seen = 0;
    for (fs::directory_iterator it(directory_, error), end; !error && it != end && ++seen <= kMaxEntries;
         it.increment(error)) {
        const auto entry = parse_name(it->path().filename().string());
        if (!entry) continue;
        const auto notes = read_region(memory, image, image.text_va.wrap_plus(entry->notes), entry->size);
        if (!notes || build_id_of_notes(notes->bytes) != entry->build_id) continue;
        const auto text = read_entry(it->path(), *key);
        if (!text) continue;
        auto profile = parse_profile(*text, image);
        if (!profile || profile->kernel.build_id != entry->build_id) continue;
        ProvenKernel& kernel = profile->kernel;
        const std::string banner = kernel.banner;
        if (kernel.symbols.get(SymbolId::text) != image.text_va) continue;
        const auto found = hash_guest(memory, kernel, *key);
        if (found != ProfileHashes{profile->tables_hash, profile->btf_hash}) continue;
        if (!check_image(memory, kernel) || kernel.banner != banner || !check_kernel(memory, kernel)) continue;
        kernel.checks.insert(
            kernel.checks.begin(),
            fmt::format("build-id {}, symbol tables and types equal those of the cached profile", kernel.build_id));
        return std::move(kernel);
    }
    return std::nullopt;
}

Result<void> ProfileCache::store(const ProvenKernel& kernel) const {
    const auto start = kernel.symbols.get(SymbolId::start_notes);
    const auto stop = kernel.symbols.get(SymbolId::stop_notes);
    if (directory_.empty() || kernel.build_id.empty() || !start || !stop || kernel.layout_source != LayoutSource::btf)
        return {};
    std::error_code error;
    const bool made = fs::create_directories(directory_, error);
    if (error) return io_error(fmt::format("cannot make the cache folder {}: {}", directory_, error.message()));
    if (made) fs::permissions(directory_, fs::perms::owner_all, error);
    const auto key = cache_key(directory_, true);
    if (!key) return io_error(fmt::format("the cache folder {} has no key of this user's own", directory_));
    const auto found = hash_copies(kernel, *key);
    if (!found) return {};
    if (is_full(directory_)) return io_error(fmt::format("the cache folder {} is full", directory_));
    const std::string path = fmt::format("{}/linux-{}@{:x}+{:x}.json", directory_, kernel.build_id,
                                         start->value - kernel.image.text_va.value, stop->value - start->value);
    const std::string text = write_profile(kernel, found->tables, found->btf) + "\n";
    if (!replace_file(path, text + sum_line(text, *key))) return io_error(fmt::format("cannot write {}", path));
    return {};
}

}  // namespace vitrine::linux_os
