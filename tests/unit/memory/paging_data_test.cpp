// Runs the page tables of tests/data/paging (the README there says what the lines mean), over two kinds of memory.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/synthetic_memory.h"
#include "vitrine/memory/address_space.h"
#include "vitrine/memory/paging.h"

namespace vitrine {
namespace {

using testing::SyntheticMemory;

struct Scenario {
    PagingMode mode = PagingMode::none;
    std::vector<MemoryRange> ram;
    Gpa root;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> entries;
    std::vector<std::pair<std::uint64_t, Translation>> translations;
    struct Refusal {
        std::uint64_t va;
        Errc code;
        std::uint64_t address;
    };
    std::vector<Refusal> refusals;
    std::vector<MappedRun> runs;
    WalkEnd end = WalkEnd::complete;
    std::size_t nodes = 0;
    bool has_end = false;
};

template <class T>
T look_up(const std::map<std::string, T>& names, const std::string& name) {
    const auto found = names.find(name);
    if (found == names.end()) throw std::runtime_error("unknown word: " + name);
    return found->second;
}

std::uint64_t number(std::istream& in) {
    std::string text;
    if (!(in >> text)) throw std::runtime_error("a number is missing");
    std::size_t used = 0;
    const std::uint64_t value = std::stoull(text, &used, 0);
    if (used != text.size()) throw std::runtime_error("not a number: " + text);
    return value;
}

std::string word(std::istream& in) {
    std::string text;
    if (!(in >> text)) throw std::runtime_error("a word is missing");
    return text;
}

bool has(const std::string& flags, char flag) { return flags.find(flag) != std::string::npos; }

void parse_line(const std::string& keyword, std::istream& in, Scenario& s) {
    static const std::map<std::string, PagingMode> kModes{{"32bit", PagingMode::x86_32},
                                                          {"pae", PagingMode::x86_pae},
                                                          {"4level", PagingMode::x86_64_4level},
                                                          {"5level", PagingMode::x86_64_5level}};
    static const std::map<std::string, std::uint64_t> kSizes{
        {"4K", 4096}, {"2M", 2u << 20}, {"4M", 4u << 20}, {"1G", 1u << 30}};
    static const std::map<std::string, Errc> kCodes{{"not_present", Errc::not_present},
                                                    {"fault", Errc::fault},
                                                    {"malformed", Errc::malformed},
                                                    {"out_of_range", Errc::out_of_range}};
    static const std::map<std::string, WalkEnd> kEnds{
        {"complete", WalkEnd::complete}, {"fault", WalkEnd::fault}, {"budget", WalkEnd::budget}};
    if (keyword == "mode") {
        s.mode = look_up(kModes, word(in));
    } else if (keyword == "ram") {
        const std::uint64_t start = number(in);
        s.ram.push_back({Gpa{start}, number(in)});
    } else if (keyword == "root") {
        s.root = Gpa{number(in)};
    } else if (keyword == "entry") {
        const std::uint64_t at = number(in);
        s.entries.emplace_back(at, number(in));
    } else if (keyword == "fill") {
        const std::uint64_t at = number(in);
        const std::uint64_t count = number(in);
        const std::uint64_t raw = number(in);
        const std::uint64_t step = number(in);
        const unsigned width = s.mode == PagingMode::x86_32 ? 4 : 8;
        for (std::uint64_t i = 0; i < count; ++i) s.entries.emplace_back(at + i * width, raw + i * step);
    } else if (keyword == "translate") {
        const std::uint64_t va = number(in);
        const Gpa pa{number(in)};
        const std::uint64_t size = look_up(kSizes, word(in));
        const std::string flags = word(in);
        s.translations.emplace_back(va, Translation{pa, size, has(flags, 'w'), has(flags, 'u'), has(flags, 'x')});
    } else if (keyword == "refuse") {
        const std::uint64_t va = number(in);
        const Errc code = look_up(kCodes, word(in));
        s.refusals.push_back({va, code, number(in)});
    } else if (keyword == "run") {
        const Gva va{number(in)};
        const Gpa pa{number(in)};
        const std::uint64_t size = number(in);
        const std::string flags = word(in);
        s.runs.push_back({va, pa, size, has(flags, 'w'), has(flags, 'u'), has(flags, 'x')});
    } else if (keyword == "end") {
        s.end = look_up(kEnds, word(in));
        s.nodes = number(in);
        s.has_end = true;
    } else {
        throw std::runtime_error("unknown keyword: " + keyword);
    }
}

Scenario parse(const std::filesystem::path& path) {
    std::ifstream file(path);
    Scenario scenario;
    for (std::string line; std::getline(file, line);) {
        std::istringstream in(line.substr(0, line.find('#')));
        if (std::string keyword; in >> keyword) parse_line(keyword, in, scenario);
        if (std::string rest; in >> rest) throw std::runtime_error("too much on the line: " + line);
    }
    return scenario;
}

std::vector<std::filesystem::path> files() {
    std::vector<std::filesystem::path> found;
    for (const auto& entry : std::filesystem::directory_iterator(VITRINE_TEST_DATA "/paging")) {
        if (entry.path().extension() == ".txt") found.push_back(entry.path());
    }
    std::sort(found.begin(), found.end());
    return found;
}

class PagingData : public ::testing::TestWithParam<std::filesystem::path> {
protected:
    void SetUp() override {
        scenario = parse(GetParam());
        ASSERT_TRUE(scenario.has_end) << "the file has no end line";
        memory = std::make_unique<SyntheticMemory>(scenario.ram);
        for (const auto& [address, raw] : scenario.entries) {
            if (scenario.mode == PagingMode::x86_32) memory->write_value(Gpa{address}, static_cast<std::uint32_t>(raw));
            else memory->write_value(Gpa{address}, raw);
        }
    }
    Scenario scenario;
    std::unique_ptr<SyntheticMemory> memory;
};

TEST_P(PagingData, Translates) {
    for (const auto& [va, expected] : scenario.translations) {
        SCOPED_TRACE(::testing::Message() << std::hex << "va " << va);
        auto got = translate(*memory, scenario.mode, scenario.root, Gva{va});
        ASSERT_TRUE(got.has_value()) << got.error().to_string();
        EXPECT_EQ(got->address.value, expected.address.value);
        EXPECT_EQ(got->page_size, expected.page_size);
        EXPECT_EQ(got->writable, expected.writable);
        EXPECT_EQ(got->user, expected.user);
        EXPECT_EQ(got->executable, expected.executable);
    }
}

TEST_P(PagingData, Refuses) {
    for (const auto& refusal : scenario.refusals) {
        SCOPED_TRACE(::testing::Message() << std::hex << "va " << refusal.va);
        auto got = translate(*memory, scenario.mode, scenario.root, Gva{refusal.va});
        ASSERT_FALSE(got.has_value());
        EXPECT_EQ(got.error().code, refusal.code) << got.error().to_string();
        ASSERT_TRUE(got.error().has_address);
        EXPECT_EQ(got.error().address, refusal.address);
        EXPECT_EQ(got.error().origin, Origin::translate);
    }
}

// The address space has a walk of its own, with caches: reading through it must agree, also the second time.
TEST_P(PagingData, AddressSpaceAgrees) {
    const AddressSpace space(*memory, scenario.mode, scenario.root);
    for (int round = 0; round < 2; ++round) {
        for (const auto& [va, expected] : scenario.translations) {
            SCOPED_TRACE(::testing::Message() << std::hex << "va " << va);
            std::byte via_space{}, direct{};
            auto read = space.read(Gva{va}, {&via_space, 1});
            auto physical = memory->read(expected.address, {&direct, 1});
            ASSERT_EQ(read.has_value(), physical.has_value());
            EXPECT_EQ(via_space, direct);
        }
        for (const auto& refusal : scenario.refusals) {
            std::byte byte{};
            auto read = space.read(Gva{refusal.va}, {&byte, 1});
            ASSERT_FALSE(read.has_value());
            EXPECT_EQ(read.error().code, refusal.code);
            EXPECT_EQ(read.error().address, refusal.va);
        }
    }
}

TEST_P(PagingData, Enumerates) {
    std::vector<MappedRun> runs;
    const WalkReport report = for_each_mapping(*memory, scenario.mode, scenario.root, Gva{0}, Gva{~0ull}, {},
                                               [&](const MappedRun& run) {
                                                   runs.push_back(run);
                                                   return true;
                                               });
    EXPECT_EQ(runs.size(), scenario.runs.size());
    for (std::size_t i = 0; i < std::min(runs.size(), scenario.runs.size()); ++i) {
        EXPECT_TRUE(runs[i] == scenario.runs[i])
            << i << std::hex << ": va " << runs[i].va.value << " pa " << runs[i].pa.value << " size " << runs[i].size
            << " w" << runs[i].writable << " u" << runs[i].user << " x" << runs[i].executable;
    }
    EXPECT_EQ(report.end, scenario.end) << to_string(report.end);
    EXPECT_EQ(report.nodes, scenario.nodes);
}

INSTANTIATE_TEST_SUITE_P(Files, PagingData, ::testing::ValuesIn(files()),
                         [](const auto& suite) { return suite.param.stem().string(); });

TEST(PagingDataFiles, AreThere) { EXPECT_GE(files().size(), 9u); }

}  // namespace
}  // namespace vitrine
