// A recording answers as the guest did, by whatever way the kernel is found in it, and holds no more than that took.
#include <fcntl.h>
#include <sys/stat.h>

#include <fstream>
#include <map>
#include <random>

#include "support/guest_test_support.h"
#include "vitrine/machine/recorder.h"

namespace vitrine::test {
namespace {

namespace fs = std::filesystem;

using AllRows = std::map<std::string, std::vector<std::vector<Value>>>;

GuestDescription description(unsigned seed = 60) {
    GuestDescription d;
    d.types.seed = seed;
    d.modules = 3;
    return d;
}

AllRows all_rows(Guest& guest, std::vector<std::string_view> names = {}) {
    if (names.empty()) {
        for (const Table* table : all_tables()) names.push_back(table->spec.name);
    }
    AllRows all;
    for (const std::string_view name : names) {
        // They say how memory is read, and by which route the kernel was found.
        if (name == "guest_memory_map" || name == "kernel_info") continue;
        const Answer answer = ask(guest, name);
        EXPECT_EQ(answer.rows.all_diagnostics().find("not part of the recording"), std::string::npos) << name;
        all[std::string(name)] = answer.rows.rows;
    }
    return all;
}

struct Recorded {
    AllRows rows;
    RecordingSize size;
};

Result<Recorded> record(Machine& machine, const fs::path& path, std::optional<FindRoute> route = std::nullopt,
                        std::vector<std::string_view> names = {}) {
    Recorder recorder(machine);
    auto guest = VITRINE_TRY(attach(recorder.machine(), route));
    Recorded recorded;
    recorded.rows = all_rows(*guest, std::move(names));
    recorded.size = VITRINE_TRY(recorder.save(path, guest->machine().memory().layout(), {"a test", "6.1", 0, {}}, {}));
    return recorded;
}

Result<std::unique_ptr<Guest>> replay(const fs::path& path, std::optional<FindRoute> route = std::nullopt,
                                      const std::string& cache = {}) {
    auto machine = VITRINE_TRY(open_machine({TargetKind::file, path}, {}));
    AttachOptions options;
    options.use_cache = !cache.empty();
    options.cache_directory = cache;
    options.only_route = route;
    return Guest::attach(std::move(machine), options);
}

TEST(Recordings, AnswerAsTheGuestDidByAnyRoute) {
    const TemporaryFolder folder;
    const SyntheticGuest made(description());
    auto machine = made.machine(made.vcpus(), true);
    const auto recorded = record(*machine, folder.path / "it");
    ASSERT_TRUE(recorded) << recorded.error().to_string();
    auto plain = attach(made.machine(made.vcpus()));
    ASSERT_TRUE(plain);
    EXPECT_EQ(recorded->rows, all_rows(**plain)) << "recording changes no answer";
    // The text of VMCOREINFO is not read by those who find the kernel sooner.
    for (const auto route : {FindRoute::registers, FindRoute::page_tables, FindRoute::scan}) {
        auto guest = replay(folder.path / "it", route);
        ASSERT_TRUE(guest) << to_string(route) << ": " << guest.error().to_string();
        EXPECT_EQ(all_rows(**guest), recorded->rows) << to_string(route);
    }
}

TEST(Recordings, OfEachRouteHoldLittleOfMemory) {
    for (const auto route : {FindRoute::page_tables, FindRoute::vmcoreinfo, FindRoute::scan}) {
        const TemporaryFolder folder;
        const SyntheticGuest made(description(61));
        auto machine = made.machine();  // without registers
        const auto recorded = record(*machine, folder.path / "it", route);
        ASSERT_TRUE(recorded) << recorded.error().to_string();
        EXPECT_LT(recorded->size.pages, made.ram.size() / kPageSize / 4) << to_string(route);
        EXPECT_LE(recorded->size.unlike, made.ram.pages().size()) << to_string(route);
        EXPECT_EQ(recorded->size.file_bytes, fs::file_size(folder.path / "it"));
        auto guest = replay(folder.path / "it");
        ASSERT_TRUE(guest) << to_string(route) << ": " << guest.error().to_string();
        EXPECT_EQ(all_rows(**guest), recorded->rows) << to_string(route);
        auto same = replay(folder.path / "it", route);
        ASSERT_TRUE(same) << to_string(route) << ": " << same.error().to_string();
    }
}

TEST(Recordings, WorkWithACacheAndWithout) {
    const TemporaryFolder folder;
    const SyntheticGuest made(description(62));
    auto machine = made.machine(made.vcpus());
    const auto recorded = record(*machine, folder.path / "it");
    ASSERT_TRUE(recorded);
    const std::string cache = folder.path / "cache";
    for (const bool from_cache : {false, true}) {
        auto guest = replay(folder.path / "it", {}, cache);
        ASSERT_TRUE(guest) << guest.error().to_string();
        EXPECT_EQ((*guest)->kernel().from_cache, from_cache);
        EXPECT_EQ(all_rows(**guest), recorded->rows);
    }
}

TEST(Recordings, SayWhatTheyDoNotHave) {
    const TemporaryFolder folder;
    const SyntheticGuest made(description(63));
    auto machine = made.machine(made.vcpus());
    ASSERT_TRUE(record(*machine, folder.path / "it", {}, {"vcpus"}));
    auto guest = replay(folder.path / "it");
    ASSERT_TRUE(guest) << guest.error().to_string();
    const MemoryRange& last = made.ram.ranges().back();
    const auto word = (*guest)->machine().memory().read_value<std::uint64_t>(last.start.wrap_plus(last.size - 8));
    ASSERT_FALSE(word);
    EXPECT_EQ(word.error().code, Errc::not_recorded);
    const Answer answer = ask(**guest, "kernel_modules");
    EXPECT_TRUE(!answer.report || answer.report->end != WalkEnd::complete || !answer.rows.diagnostics.empty());
}

// A running guest whose every page changes after it was read once.
TEST(Recordings, OfARunningGuestAnswerAsTheyDidWhileItRan) {
    const SyntheticGuest made(description(64));
    unsigned done = 0;
    for (std::uint32_t seed = 0; seed < 20; ++seed) {
        const TemporaryFolder folder;
        auto filter = std::make_shared<StoreFilter>(made.store());
        std::mt19937 random(seed);
        filter->alter = [&](std::size_t number, StoreReadOp& op) {
            if (number % 50 == 49 && !op.out.empty())
                op.out[random() % op.out.size()] ^= std::byte{static_cast<unsigned char>(1u << random() % 8)};
        };
        auto machine = made.machine_over(filter, made.vcpus());
        machine->live = true;
        // The page tables that registers lead to are in the recording only if the registers are those of then.
        machine->set_registers(
            [&](std::size_t number) -> Result<std::vector<VcpuState>> { return made.vcpus(1 + number % 2); });
        const auto recorded = record(*machine, folder.path / "it");
        if (!recorded) continue;  // damaged beyond recognition
        EXPECT_EQ(machine->looks(), 1u);
        auto guest = replay(folder.path / "it");
        ASSERT_TRUE(guest) << seed << ": " << guest.error().to_string();
        EXPECT_EQ(all_rows(**guest), recorded->rows) << seed;
        ++done;
    }
    EXPECT_GE(done, 10u);
}

TEST(Recordings, NeitherHarmOlderFilesNorLeaveHalfOfOne) {
    const TemporaryFolder folder;
    const SyntheticGuest made(description(65));
    auto machine = made.machine(made.vcpus());
    Recorder recorder(*machine);
    auto guest = attach(recorder.machine());
    ASSERT_TRUE(guest);
    const MemoryLayout& layout = (*guest)->machine().memory().layout();
    const auto save = [&](const fs::path& path, bool overwrite) {
        return recorder.save(path, layout, {}, {overwrite});
    };
    std::ofstream(folder.path / "old") << "precious";
    const auto refused = save(folder.path / "old", false);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::usage);
    EXPECT_EQ(fs::file_size(folder.path / "old"), 8u);
    EXPECT_EQ(save(folder.path, true).error().code, Errc::usage) << "a directory";
    EXPECT_EQ(save("/dev/null", true).error().code, Errc::usage);
    EXPECT_EQ(save(folder.path / "none" / "it", true).error().code, Errc::io);
    EXPECT_EQ(std::distance(fs::directory_iterator(folder.path), {}), 1);
    ASSERT_TRUE(save(folder.path / "old", true));
    struct stat facts{};
    ASSERT_EQ(stat((folder.path / "old").c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 0777, 0600u) << "guests have secrets";
    EXPECT_TRUE(replay(folder.path / "old"));
    EXPECT_EQ(std::distance(fs::directory_iterator(folder.path), {}), 1);
}

}  // namespace
}  // namespace vitrine::test
