// The cache of decoded kernels: never trusted as such, never in the way.
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <random>
#include <sstream>
#include <stdexcept>

#include "os/linux/profile_cache.h"
#include "os/linux/profile_hash.h"
#include "support/guest_test_support.h"

namespace vitrine::test {
namespace {

namespace fs = std::filesystem;

GuestDescription description(std::uint32_t seed = 70) {
    GuestDescription d;
    d.types.seed = seed;
    return d;
}

class ProfileCacheTest : public ::testing::Test {
protected:
    ProfileCacheTest() : folder(temporary.path / "cache") {}

    std::unique_ptr<Guest> attach_with_cache(const SyntheticGuest& made, bool registers = true) const {
        AttachOptions options;
        options.cache_directory = folder.string();
        auto guest = Guest::attach(made.machine(registers ? made.vcpus() : std::vector<VcpuState>{}), options);
        EXPECT_TRUE(guest) << (guest ? "" : guest.error().to_string());
        return guest ? std::move(*guest) : nullptr;
    }
    [[nodiscard]] std::vector<fs::path> entries() const {
        std::vector<fs::path> found;
        std::error_code ignored;
        for (const auto& entry : fs::directory_iterator(folder, ignored)) {
            if (entry.path().extension() == ".json") found.push_back(entry.path());
        }
        return found;
    }
    [[nodiscard]] std::string entry_text() const {
        std::stringstream text;
        text << std::ifstream(entries().at(0)).rdbuf();
        return text.str();
    }
    void overwrite(const std::string& text) const { std::ofstream(entries().at(0), std::ios::trunc) << text; }

    TemporaryFolder temporary;
    fs::path folder;
};

TEST_F(ProfileCacheTest, WhatIsLoadedEqualsWhatWasProven) {
    for (const char* kallsyms : {"A", "B", "C"}) {
        GuestDescription d = description();
        d.kallsyms = kallsyms;
        d.build = static_cast<std::uint8_t>(kallsyms[0]);
        const SyntheticGuest made(d);
        const auto first = attach_with_cache(made);
        EXPECT_FALSE(first->kernel().from_cache);
        d.slide = 0x300'0000;  // as after a reboot
        d.text_pa = 0x20'0000;
        d.heap_pa = 0x90'0000;
        const SyntheticGuest again(d);
        const auto second = attach_with_cache(again);
        ASSERT_TRUE(second->kernel().from_cache) << kallsyms;
        EXPECT_EQ(second->kernel().banner, first->kernel().banner);
        EXPECT_EQ(second->kernel().text_va, again.text);
        EXPECT_EQ(second->kernel().root, again.root());
        const linux_os::Layout& a = first->as_linux()->layout();
        const linux_os::Layout& b = second->as_linux()->layout();
        for (const linux_os::FieldNeed& need : linux_os::field_needs()) {
            EXPECT_EQ(a.slot(need.id).present, b.slot(need.id).present) << need.name;
            EXPECT_EQ(a.slot(need.id).offset, b.slot(need.id).offset) << need.name;
        }
        for (std::size_t i = 0; i < linux_os::kSymbolCount; ++i) {
            const auto id = static_cast<linux_os::SymbolId>(i);
            const auto was = first->as_linux()->proven().symbols.get(id);
            const auto is = second->as_linux()->proven().symbols.get(id);
            ASSERT_EQ(was.has_value(), is.has_value()) << linux_os::kSymbolNames[i];
            if (was) {
                EXPECT_EQ(was->value - made.text.value, is->value - again.text.value) << linux_os::kSymbolNames[i];
            }
        }
        EXPECT_EQ(ask(*second, "processes").rows.rows.size(), made.tasks.size() - 1);
        EXPECT_EQ(ask(*second, "symbols").rows.rows.size(), ask(*first, "symbols").rows.rows.size());
        EXPECT_EQ(ask(*second, "types").rows.rows.size(), ask(*first, "types").rows.rows.size());
    }
}

TEST_F(ProfileCacheTest, WhoseAddressesMoveWithTheLoadAddressIsNotKept) {
    GuestDescription d = description();
    d.kallsyms = "D-after";
    attach_with_cache(SyntheticGuest(d));
    EXPECT_TRUE(entries().empty());
}

TEST_F(ProfileCacheTest, EveryByteOfAnEntryMayBeWrong) {
    const SyntheticGuest made(description());
    attach_with_cache(made);
    const std::string good = entry_text();
    const auto expect_not_used = [&](const std::string& bad, const std::string& what) {
        overwrite(bad);
        const Bounded bounded(what);
        const auto guest = attach_with_cache(made);
        ASSERT_NE(guest, nullptr) << what;
        EXPECT_FALSE(guest->kernel().from_cache) << what;
    };
    std::mt19937 random(1);
    for (int i = 0; i < 60; ++i) {
        const std::size_t at = random() % good.size();
        std::string bad = good;
        bad[at] = static_cast<char>(bad[at] ^ (1 << random() % 8));
        expect_not_used(bad, fmt::format("byte {} is wrong", at));
    }
    for (std::size_t size = 0; size < good.size(); size += good.size() / 40)
        expect_not_used(good.substr(0, size), fmt::format("{} bytes are left", size));
    expect_not_used(good + good, "twice");
}

TEST_F(ProfileCacheTest, ImpossibleTextIsRefused) {
    const SyntheticGuest made(description());
    attach_with_cache(made);
    const std::string good = entry_text();
    const auto replaced = [&](const std::string& key, const std::string& value) {
        std::string text = good;
        const std::size_t at = text.find('"' + key + "\":");
        if (at == std::string::npos) throw std::logic_error("no key " + key);
        const std::size_t begin = at + key.size() + 3;
        std::size_t end = begin;
        for (int depth = 0; depth > 0 || (text[end] != ',' && text[end] != '}'); ++end)
            depth += text[end] == '{' || text[end] == '[' ? 1 : text[end] == '}' || text[end] == ']' ? -1 : 0;
        return text.substr(0, begin) + value + text.substr(end);
    };
    std::vector<std::string> texts = {"",
                                      "null",
                                      "[]",
                                      "{}",
                                      "{\"vitrine_profile\":1}",
                                      std::string(900'000, '['),
                                      std::string(5000, '{'),
                                      "\"" + std::string(500'000, 'x'),
                                      std::string(3u << 20, ' ')};
    std::string nested = good;
    nested.insert(1, "\"x\":" + std::string(100'000, '[') + std::string(100'000, ']') + ",");
    texts.push_back(nested);
    for (const char* key : {"build_id",  "banner",        "tables_hash", "btf_hash",    "symbols",     "layout",
                            "kallsyms",  "fields",        "sizes",       "region",      "region_size", "token_table",
                            "markers",   "names",         "num_syms",    "num_markers", "marker_size", "addressing",
                            "addresses", "relative_base", "task_pid",    "task_tasks"}) {
        for (const char* value : {"null", "-1", "1e400", "18446744073709551615", "99999999999999999999999", "\"text\"",
                                  "[]", "{}", "[1,2,3,4]", "[[[[[[[[1]]]]]]]]"})
            texts.push_back(replaced(key, value));
    }
    const Bounded bounded("impossible entries", 6.0);
    linux_os::KernelImage image;
    image.text_va = made.text;
    std::size_t refused = 0;
    for (const std::string& text : texts) {
        const auto parsed = linux_os::parse_profile(text, image);
        refused += parsed ? 0u : 1u;
        if (parsed) {
            EXPECT_TRUE(parsed->kernel.layout.missing_required().empty());
        }
    }
    EXPECT_GT(refused, texts.size() * 3 / 4);
    for (std::size_t i = 0; i < texts.size(); i += 10) {
        const std::string& text = texts[i];
        overwrite(text);
        const auto guest = attach_with_cache(made);
        ASSERT_NE(guest, nullptr);
        EXPECT_FALSE(guest->kernel().from_cache) << text.substr(0, 200);
    }
}

TEST_F(ProfileCacheTest, ThingsInPlaceOfAFile) {
    const SyntheticGuest made(description());
    attach_with_cache(made);
    const fs::path entry = entries().at(0);
    const fs::path elsewhere = temporary.path / "elsewhere.json";
    fs::copy_file(entry, elsewhere);
    const auto expect_not_used = [&](const char* what) {
        const auto guest = attach_with_cache(made);
        ASSERT_NE(guest, nullptr) << what;
        EXPECT_FALSE(guest->kernel().from_cache) << what;
    };
    fs::remove(entry);
    fs::create_symlink(elsewhere, entry);
    expect_not_used("a symbolic link");
    EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(entry))) << "replaced by a good entry";
    EXPECT_TRUE(fs::exists(elsewhere));
    fs::remove(entry);
    fs::create_directory(entry);
    std::ofstream(entry / "x") << "x";
    expect_not_used("a folder");
    fs::remove_all(entry);
    ASSERT_EQ(mkfifo(entry.c_str(), 0600), 0);
    expect_not_used("a pipe");
    fs::remove(entry);
    fs::copy_file(elsewhere, entry);
    fs::permissions(entry, fs::perms::others_write, fs::perm_options::add);
    expect_not_used("what others can write");
    EXPECT_TRUE(attach_with_cache(made)->kernel().from_cache);
}

TEST_F(ProfileCacheTest, AFolderThatCannotBeUsedIsNotInTheWay) {
    const SyntheticGuest made(description());
    for (const fs::path& place :
         {fs::path("/proc/self/none"), fs::path("/dev/null/cache"), temporary.path / std::string(300, 'x')}) {
        AttachOptions options;
        options.cache_directory = place.string();
        auto guest = Guest::attach(made.machine(made.vcpus()), options);
        ASSERT_TRUE(guest) << place << ": " << guest.error().to_string();
        EXPECT_FALSE((*guest)->kernel().from_cache);
    }
    std::ofstream(folder) << "a file where the folder should be";
    attach_with_cache(made);
}

TEST_F(ProfileCacheTest, AnExistingFolderKeepsItsPermissions) {
    fs::create_directory(folder);
    fs::permissions(folder, fs::perms::all);
    attach_with_cache(SyntheticGuest(description()));
    EXPECT_EQ(fs::status(folder).permissions(), fs::perms::all);
    EXPECT_EQ(entries().size(), 1u);
}

TEST_F(ProfileCacheTest, WithoutItsKeyNoEntryIsUsed) {
    const SyntheticGuest made(description());
    attach_with_cache(made);
    EXPECT_EQ(fs::status(folder / "key").permissions(), fs::perms::owner_read | fs::perms::owner_write);
    ASSERT_TRUE(attach_with_cache(made)->kernel().from_cache);
    fs::remove(folder / "key");
    EXPECT_FALSE(attach_with_cache(made)->kernel().from_cache);
    EXPECT_TRUE(attach_with_cache(made)->kernel().from_cache) << "made anew";
    fs::permissions(folder / "key", fs::perms::others_read, fs::perm_options::add);
    EXPECT_FALSE(attach_with_cache(made)->kernel().from_cache) << "known to others";
    EXPECT_TRUE(attach_with_cache(made)->kernel().from_cache) << "and made anew";
}

// A guest that shows the build-id of another kernel.
TEST_F(ProfileCacheTest, TheBuildIdAloneIsNotBelieved) {
    const SyntheticGuest honest(description(70));
    attach_with_cache(honest);
    const SyntheticGuest other_types(description(71));  // same build-id, other structures
    const auto guest = attach_with_cache(other_types);
    EXPECT_FALSE(guest->kernel().from_cache);
    EXPECT_EQ(ask(*guest, "processes").rows.rows.size(), other_types.tasks.size() - 1);
    EXPECT_EQ(ask(*guest, "processes").rows.text(2, "comm"), other_types.tasks[3].comm);
}

// The hostile guest comes first: everything equal to the honest kernel's but where one symbol is said to be.
TEST_F(ProfileCacheTest, AGuestCannotPlantSymbolsForAnother) {
    SyntheticGuest hostile(description());
    const linux_os::SymbolId wanted = linux_os::SymbolId::modules;
    const std::uint64_t target = hostile.symbol("modules").value;
    const Gva offsets = hostile.kallsyms_region.wrap_plus(hostile.kallsyms_layout.addresses);
    bool changed = false;
    for (std::uint64_t i = 0; i < hostile.kallsyms_layout.num_syms; ++i) {
        const Gva at = offsets.wrap_plus(i * 4);
        if (hostile.kallsyms_layout.relative_base + hostile.get<std::uint32_t>(at) != target) continue;
        hostile.put(at, hostile.get<std::uint32_t>(at) + 8);
        changed = true;
        break;
    }
    ASSERT_TRUE(changed);
    const auto first = attach_with_cache(hostile);
    ASSERT_EQ(first->as_linux()->proven().symbols.get(wanted)->value, target + 8);
    ASSERT_EQ(entries().size(), 1u);
    const SyntheticGuest honest(description());
    const auto second = attach_with_cache(honest);
    EXPECT_FALSE(second->kernel().from_cache);
    EXPECT_EQ(second->as_linux()->proven().symbols.get(wanted)->value, target);
}

// Where a BTF blob keeps the bit offset of a member.
std::size_t place_of_member(std::span<const std::byte> blob, std::string_view name, std::uint32_t bits) {
    const auto word = [&](std::size_t at) { return load<std::uint32_t>(blob.data() + at); };
    const std::size_t strings = word(4) + word(16);
    for (std::size_t at = word(4); at + 12 <= strings; at += 4) {
        if (word(at + 8) != bits || word(at) >= blob.size() - strings) continue;
        if (reinterpret_cast<const char*>(blob.data()) + strings + word(at) == name) return at + 8;
    }
    throw std::logic_error("no such member");
}

// A guest of the same build as others that shows one BTF when it is first read and another one ever after.
class TwoFaced {
public:
    enum Face { forged_first, forged_later };
    TwoFaced(const SyntheticGuest& made, Face face) : store_(std::make_shared<StoreFilter>(made.store())) {
        const std::uint32_t offset = made.types.offset("task_struct.start_boottime");
        const auto blob = made.types.btf();
        const std::uint64_t at = made.physical(made.btf).value + place_of_member(blob, "start_boottime", offset * 8);
        store_->alter = [this, face, at, forged = (offset + 8) * 8](std::size_t, StoreReadOp& op) {
            if (op.offset > at || at + 4 > op.offset + op.out.size()) return;
            const bool first = looks++ == 0;
            if (first == (face == forged_first)) std::memcpy(op.out.data() + (at - op.offset), &forged, sizeof forged);
        };
        machine = made.machine_over(store_, made.vcpus());
    }
    std::unique_ptr<SyntheticMachine> machine;
    unsigned looks = 0;

private:
    std::shared_ptr<StoreFilter> store_;
};

// The hostile guest shows the genuine types to whoever looks a second time, so that a layout of its own making would be kept as theirs.
TEST_F(ProfileCacheTest, AGuestThatChangesUnderTheReaderPlantsNothing) {
    const SyntheticGuest made(description());
    const auto id = linux_os::FieldId::task_start_boottime;
    const std::uint32_t genuine = made.types.offset("task_struct.start_boottime");
    for (const TwoFaced::Face face : {TwoFaced::forged_first, TwoFaced::forged_later}) {
        TwoFaced hostile(made, face);
        AttachOptions options;
        options.cache_directory = folder.string();
        const auto first = Guest::attach(std::move(hostile.machine), options);
        ASSERT_TRUE(first) << first.error().to_string();
        EXPECT_EQ((*first)->as_linux()->layout().at(id), face == TwoFaced::forged_first ? genuine + 8 : genuine);
        EXPECT_EQ(hostile.looks, 1u) << "what is kept is made of one look";
        ASSERT_EQ(entries().size(), 1u);
        const auto honest = attach_with_cache(made);
        EXPECT_EQ(honest->as_linux()->layout().at(id), genuine);
        EXPECT_EQ(honest->kernel().from_cache, face == TwoFaced::forged_later);
        fs::remove_all(folder);
    }
}

TEST_F(ProfileCacheTest, AStaleListFailsTheChecksOfALoadedProfileToo) {
    SyntheticGuest made(description());
    attach_with_cache(made);
    damages().find("task_list_torn")->second(made);
    AttachOptions options;
    options.cache_directory = folder.string();
    EXPECT_FALSE(Guest::attach(made.machine(), options));
}

TEST_F(ProfileCacheTest, AKilledWriterLeavesTheOldEntryOrTheNew) {
    const SyntheticGuest made(description());
    attach_with_cache(made);
    const std::string good = entry_text();
    for (int round = 0; round < 40; ++round) {
        const pid_t child = fork();
        ASSERT_GE(child, 0);
        if (child == 0) {
            for (;;) {
                fs::remove(folder / "key");
                AttachOptions options;
                options.cache_directory = folder.string();
                (void)Guest::attach(made.machine(made.vcpus()), options);
            }
        }
        usleep(static_cast<useconds_t>(500 + round * 1700));
        kill(child, SIGKILL);
        int status = 0;
        ASSERT_EQ(waitpid(child, &status, 0), child);
        ASSERT_EQ(entries().size(), 1u);
        linux_os::KernelImage image;
        image.text_va = made.text;
        const std::string text = entry_text();
        EXPECT_TRUE(linux_os::parse_profile(text.substr(0, text.rfind('#')), image)) << "round " << round;
    }
    attach_with_cache(made);
    EXPECT_TRUE(attach_with_cache(made)->kernel().from_cache);
}

TEST_F(ProfileCacheTest, InventedBuildsDoNotFillTheDisk) {
    fs::create_directories(folder);
    for (int i = 0; i < 4096; ++i) std::ofstream(folder / fmt::format("linux-{:040x}@0+24.json", i)) << "{}";
    const SyntheticGuest made(description());
    const Bounded bounded("a full cache");
    const auto guest = attach_with_cache(made);
    ASSERT_NE(guest, nullptr);
    EXPECT_EQ(entries().size(), 4096u);
}

// The polynomial as it is defined, one step after the other: the bound on collisions is about this one.
TEST(KeyedHash, IsThePolynomialItSaysItIs) {
    __extension__ using Wide = unsigned __int128;
    constexpr std::uint64_t kPrime = (std::uint64_t{1} << 61) - 1;
    std::mt19937_64 random(5);
    for (std::size_t size = 0; size < 400; ++size) {
        std::vector<std::byte> bytes(size);
        for (std::byte& b : bytes) b = static_cast<std::byte>(size % 3 == 0 ? 0xff : random());
        const std::uint64_t key = size % 5 == 0 ? kPrime - 1 : random();
        std::uint64_t sum = 1;
        const auto step = [&](std::uint64_t value) {
            sum = static_cast<std::uint64_t>((Wide{sum} * (key % kPrime) + value) % kPrime);
        };
        for (std::size_t at = 0; at < size; at += 7) {
            std::uint64_t value = 0;
            std::memcpy(&value, bytes.data() + at, std::min<std::size_t>(7, size - at));
            step(value);
        }
        step(size);
        linux_os::KeyedHash hash(key);
        hash.add(bytes);
        EXPECT_EQ(hash.value(), sum) << size << " bytes";
    }
}

TEST(KeyedHash, TellsPiecesAndKeysApart) {
    using linux_os::KeyedHash;
    std::vector<std::byte> bytes(1000);
    std::mt19937 random(3);
    for (std::byte& b : bytes) b = static_cast<std::byte>(random());
    const auto hash = [](std::uint64_t key, std::initializer_list<std::span<const std::byte>> pieces) {
        KeyedHash h(key);
        for (const auto& piece : pieces) h.add(piece);
        return h.value();
    };
    const std::span<const std::byte> all(bytes);
    const std::uint64_t whole = hash(0x1234'5678'9abc'def0, {all});
    EXPECT_EQ(hash(0x1234'5678'9abc'def0, {all}), whole);
    EXPECT_NE(hash(0x1234'5678'9abc'def1, {all}), whole);
    EXPECT_NE(hash(0x1234'5678'9abc'def0, {all.first(500), all.subspan(500)}), whole);
    EXPECT_NE(hash(0x1234'5678'9abc'def0, {all.first(999)}), whole);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        std::vector<std::byte> other = bytes;
        other[i] ^= std::byte{1};
        EXPECT_NE(hash(0x1234'5678'9abc'def0, {other}), whole) << i;
        std::vector<std::byte> longer(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(i));
        const std::uint64_t as_it_is = hash(77, {longer});
        longer.push_back(std::byte{0});
        EXPECT_NE(hash(77, {longer}), as_it_is) << i;
    }
}

}  // namespace
}  // namespace vitrine::test
