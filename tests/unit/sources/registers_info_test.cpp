// The human monitor's register dump: the forms QEMU prints, and what a hostile monitor may print.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "sources/registers/info_registers.h"

namespace vitrine {
namespace {

// As QEMU 7.2 prints it for a vCPU in 64-bit mode (target/i386/cpu-dump.c).
constexpr std::string_view kLong = R"(
CPU#0
RAX=0000000000000001 RBX=ffffffff82a1b940 RCX=0000000000000003 RDX=4000000000000000
RSI=0000000000000005 RDI=0000000000000006 RBP=0000000000000007 RSP=ffffffff82a03e88
R8 =0000000000000008 R9 =0000000000000009 R10=000000000000000a R11=000000000000000b
R12=000000000000000c R13=000000000000000d R14=000000000000000e R15=000000000000000f
RIP=ffffffff81c17a0b RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1
ES =0000 0000000000000000 00000000 00000000
CS =0010 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]
SS =0018 0000000000000000 ffffffff 00cf9300 DPL=0 DS   [-WA]
DS =0000 0000000000000000 00000000 00000000
FS =0000 00007f1234567740 00000000 00000000
GS =0000 ffff88800f000000 00000000 00000000
LDT=0000 0000000000000000 00000000 00008200 DPL=0 LDT
TR =0040 fffffe0000003000 00004087 00008b00 DPL=0 TSS64-busy
GDT=     fffffe0000001000 0000007f
IDT=     fffffe0000000000 00000fff
CR0=80050033 CR2=000055d0c0ffee00 CR3=0000000003a1a000 CR4=000006b0
DR0=0000000000000000 DR1=0000000000000000 DR2=0000000000000000 DR3=0000000000000000
DR6=00000000ffff0ff0 DR7=0000000000000400
CCS=0000000000000000 CCD=0000000000000000 CCO=EFLAGS
EFER=0000000000000d01
FCW=037f FSW=0000 [ST=0] FTW=00 MXCSR=00001f80
FPR0=0000000000000000 0000 FPR1=0000000000000000 0000
XMM00=0000000000000000 0000000000000000 XMM01=0000000000000000 0000000000000000
)";

// Before long mode: the firmware.
constexpr std::string_view kReal = R"(
CPU#1
EAX=00000001 EBX=00000002 ECX=00000003 EDX=00000663
ESI=00000000 EDI=00000000 EBP=00000000 ESP=00006f00
EIP=0000fff0 EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=0
ES =0000 00000000 0000ffff 00009300
CS =f000 ffff0000 0000ffff 00009b00
SS =0000 00000000 0000ffff 00009300
DS =0000 00000000 0000ffff 00009300
FS =0000 00000000 0000ffff 00009300
GS =0000 00000000 0000ffff 00009300
LDT=0000 00000000 0000ffff 00008200
TR =0000 00000000 0000ffff 00008b00
GDT=     00000000 0000ffff
IDT=     00000000 0000ffff
CR0=60000010 CR2=00000000 CR3=00000000 CR4=00000000
DR0=0000000000000000 DR1=0000000000000000 DR2=0000000000000000 DR3=0000000000000000
DR6=00000000ffff0ff0 DR7=0000000000000400
EFER=0000000000000000
)";

std::string replaced(std::string_view text, std::string_view what, std::string_view by) {
    std::string out(text);
    const std::size_t at = out.find(what);
    EXPECT_NE(at, std::string::npos);
    out.replace(at, what.size(), by);
    return out;
}

TEST(InfoRegisters, LongMode) {
    const auto states = parse_info_registers(kLong);
    ASSERT_TRUE(states) << states.error().to_string();
    ASSERT_EQ(states->size(), 1u);
    const VcpuState& s = states->front();
    EXPECT_EQ(s.index, 0u);
    EXPECT_EQ(s.cr0, 0x80050033u);
    EXPECT_EQ(s.cr2, 0x55d0c0ffee00u);
    EXPECT_EQ(s.cr3, 0x3a1a000u);
    EXPECT_EQ(s.cr4, 0x6b0u);
    EXPECT_EQ(s.efer, 0xd01u);
    EXPECT_EQ(s.rip, 0xffffffff81c17a0bu);
    EXPECT_EQ(s.rflags, 0x246u);
    EXPECT_EQ(s.cs, 0x10u);
    EXPECT_EQ(s.fs_base, 0x7f1234567740u);
    EXPECT_EQ(s.gs_base, 0xffff88800f000000u);
    EXPECT_EQ(s.gdt.base, 0xfffffe0000001000u);
    EXPECT_EQ(s.gdt.limit, 0x7fu);
    EXPECT_EQ(s.idt.base, 0xfffffe0000000000u);
    EXPECT_EQ(s.idt.limit, 0xfffu);
    const std::array<std::uint64_t, 16> gpr{
        1, 3, 0x4000000000000000, 0xffffffff82a1b940, 0xffffffff82a03e88, 7, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    EXPECT_EQ(s.gpr, gpr);
    EXPECT_FALSE(s.lstar || s.star || s.kernel_gs_base || s.sysenter_eip);
}

TEST(InfoRegisters, ThirtyTwoBitFormAndSeveralVcpus) {
    const auto states = parse_info_registers(std::string(kReal) + std::string(kLong));
    ASSERT_TRUE(states);
    ASSERT_EQ(states->size(), 2u);
    EXPECT_EQ((*states)[0].index, 0u);
    const VcpuState& s = (*states)[1];
    EXPECT_EQ(s.index, 1u);
    EXPECT_EQ(s.rip, 0xfff0u);
    EXPECT_EQ(s.cs, 0xf000u);
    EXPECT_EQ(s.gpr[2], 0x663u);
    EXPECT_EQ(s.gpr[4], 0x6f00u);
    EXPECT_EQ(s.gpr[8], 0u);
    EXPECT_EQ(s.efer, 0u);
}

TEST(InfoRegisters, ThirtyTwoBitCodeInLongMode) {
    std::string text(kLong);
    const std::size_t begin = text.find("RAX");
    const std::size_t end = text.find("ES =");
    text.replace(
        begin, end - begin,
        "EAX=00000001 EBX=00000002 ECX=00000003 EDX=00000004\nESI=00000005 EDI=00000006 EBP=00000007 ESP=ffb00008\n"
        "EIP=08049000 EFL=00000202 [-------] CPL=3 II=0 A20=1 SMM=0 HLT=0\n");
    const auto states = parse_info_registers(text);
    ASSERT_TRUE(states);
    EXPECT_EQ(states->front().rip, 0x8049000u);
    EXPECT_EQ(states->front().gpr[4], 0xffb00008u);
    EXPECT_EQ(states->front().cr3, 0x3a1a000u);
}

TEST(InfoRegisters, CarriageReturnsAsTheSocketHasThem) {
    std::string text;
    for (const char c : kLong) text += c == '\n' ? std::string("\r\n") : std::string(1, c);
    ASSERT_TRUE(parse_info_registers(text));
    EXPECT_EQ(parse_info_registers(text)->front().efer, 0xd01u);
}

TEST(InfoRegisters, RefusesWhatIsNotWhole) {
    const auto refused = [](std::string_view text) {
        const auto states = parse_info_registers(text);
        return !states && states.error().code == Errc::malformed;
    };
    EXPECT_TRUE(refused(""));
    EXPECT_TRUE(refused("unknown command: 'info registers'\n"));
    for (const std::string_view line :
         {"CR3=0000000003a1a000 ", "EFER=0000000000000d01", "GDT=     fffffe0000001000 0000007f",
          "RIP=ffffffff81c17a0b ", "R15=000000000000000f", "GS =0000 ffff88800f000000 00000000 00000000"}) {
        EXPECT_TRUE(refused(replaced(kLong, line, ""))) << line;
    }
    EXPECT_TRUE(refused(replaced(kLong, "CR3=0000000003a1a000", "CR3=0000000003a1a000 CR3=0000000003a1b000")));
    EXPECT_FALSE(refused(replaced(kLong, "CR3=0000000003a1a000", "CR3=03a1a000"))) << "a possible form";
    EXPECT_TRUE(refused(replaced(kLong, "CR3=0000000003a1a000", "CR3=00000000003a1a0000")));
    EXPECT_TRUE(refused(replaced(kLong, "CR3=0000000003a1a000", "CR3=0x3a1a000")));
    EXPECT_TRUE(refused(replaced(kLong, "CR3=0000000003a1a000", "CR3=-3a1a000")));
    EXPECT_TRUE(refused(replaced(kLong, "CR3=0000000003a1a000", "CR3=")));
    EXPECT_TRUE(refused(replaced(kLong, "CPU#0", "CPU#x")));
    EXPECT_TRUE(refused(replaced(kLong, "CPU#0", "CPU#99999999999")));
    EXPECT_TRUE(refused(std::string(kLong) + std::string(kLong)));
    EXPECT_TRUE(refused(std::string(kLong) + "\nCPU#1\n"));
}

TEST(InfoRegisters, CutOffAnywhereNeverGivesAnotherAnswer) {
    const auto whole = parse_info_registers(kLong);
    ASSERT_TRUE(whole);
    for (std::size_t length = 0; length < kLong.size(); ++length) {
        const auto states = parse_info_registers(kLong.substr(0, length));
        if (!states) continue;
        EXPECT_EQ(states->front().cr3, whole->front().cr3);
        EXPECT_EQ(states->front().efer, whole->front().efer);
        EXPECT_GE(length, kLong.find("EFER=0") + 21);
    }
}

TEST(InfoRegisters, MutatedTextNeverDoesHarm) {
    std::mt19937 random(7);
    for (int round = 0; round < 20000; ++round) {
        std::string text(kLong);
        for (int i = 0; i < 3; ++i) text[random() % text.size()] = static_cast<char>(random() % 256);
        const auto states = parse_info_registers(text);
        ASSERT_TRUE(!states || states->size() == 1);
    }
}

}  // namespace
}  // namespace vitrine
