#include "symbols/elf_symbols.h"

#include <elf.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace vitrine {
namespace {

class ModuleSymbols : public testing::Test {
protected:
    void add(std::string_view name, std::uint64_t value, char type, std::uint16_t section = 1,
             std::uint8_t info = 0x12) {
        add_at(static_cast<std::uint32_t>(strtab_.size()), value, type, section, info);
        strtab_.append(name).push_back('\0');
    }
    void add_at(std::uint32_t name, std::uint64_t value, char type, std::uint16_t section = 1,
                std::uint8_t info = 0x12) {
        Elf64_Sym symbol{};
        symbol.st_name = name;
        symbol.st_value = value;
        symbol.st_shndx = section;
        symbol.st_info = info;
        symbols_.push_back(symbol);
        types_.push_back(type);
    }
    Result<std::size_t> decode(std::uint32_t count) {
        return add_module_symbols(builder_, "kvm", std::as_bytes(std::span(symbols_)),
                                  std::as_bytes(std::span(strtab_)), std::as_bytes(std::span(types_)), count);
    }
    Result<std::size_t> decode() { return decode(static_cast<std::uint32_t>(symbols_.size())); }

    SymbolTableBuilder builder_;
    std::vector<Elf64_Sym> symbols_;
    std::string strtab_;
    std::string types_;
};

TEST_F(ModuleSymbols, AreAddedInOrderWithTheirModule) {
    add("", 0, 'U', SHN_UNDEF);
    add("kvm_init", 0xffffffffc0001000, 't');
    add("kvm_data", 0xffffffffc0000800, 'd');
    add("kvm_percpu", 0x40, 'a');
    EXPECT_EQ(decode().value(), 3u);
    const auto table = builder_.build();
    EXPECT_EQ(table.at(0).name, "kvm_init");
    EXPECT_EQ(table.at(0).module, "kvm");
    EXPECT_EQ(table.at(1).type, 'd');
    EXPECT_EQ(table.nearest(Gva{0xffffffffc0000900})->symbol.name, "kvm_data");
    EXPECT_FALSE(table.address_of("kvm_init"));
}

TEST_F(ModuleSymbols, UndefinedNamelessAndBrokenOnesAreLeftOut) {
    add("undefined", 0, 'U', SHN_UNDEF);
    add("", 0xffffffffc0001000, 't');
    add("good", 0xffffffffc0001000, 't');
    add_at(0x7fffffff, 0xffffffffc0001000, 't');
    add_at(static_cast<std::uint32_t>(strtab_.size()), 0xffffffffc0001000, 't');  // just past the end
    EXPECT_EQ(decode().value(), 1u);
}

TEST_F(ModuleSymbols, ANameThatRunsOffTheTableIsLeftOut) {
    add_at(0, 0xffffffffc0001000, 't');
    strtab_ = "no_end";
    EXPECT_EQ(decode().value(), 0u);
}

TEST_F(ModuleSymbols, LongNamesAreCutAsTheKernelDoes) {
    add(std::string(600, 'x'), 0xffffffffc0001000, 't');
    add(std::string(511, 'y'), 0xffffffffc0001000, 't');
    EXPECT_EQ(decode().value(), 2u);
    const auto table = builder_.build();
    EXPECT_EQ(table.at(0).name, std::string(511, 'x'));
    EXPECT_EQ(table.at(1).name, std::string(511, 'y'));
}

TEST_F(ModuleSymbols, WithoutTypetabTheLetterIsInStInfo) {
    add("old", 0xffffffffc0001000, ' ', 1, 't');
    add("newer", 0xffffffffc0001000, ' ', 1, 0x12);
    types_.clear();
    EXPECT_EQ(decode().value(), 2u);
    const auto table = builder_.build();
    EXPECT_EQ(table.at(0).type, 't');
    EXPECT_EQ(table.at(1).type, '?');
}

TEST_F(ModuleSymbols, StrangeLettersBecomeQuestionMarks) {
    add("escape", 0xffffffffc0001000, '\x1b');
    add("short_typetab", 0xffffffffc0001000, 't');
    types_.resize(1);
    EXPECT_EQ(decode().value(), 2u);
    const auto table = builder_.build();
    EXPECT_EQ(table.at(0).type, '?');
    EXPECT_EQ(table.at(1).type, '?');
}

TEST_F(ModuleSymbols, CountsBeyondTheTableOrReasonAreErrors) {
    add("one", 1, 't');
    EXPECT_EQ(decode(2).error().code, Errc::out_of_range);
    EXPECT_EQ(decode(0xffffffff).error().code, Errc::limit);
    EXPECT_EQ(decode(0).value(), 0u);
}

}  // namespace
}  // namespace vitrine
