#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "vitrine/machine/machine.h"

namespace vitrine {
namespace {

TEST(Target, Forms) {
    const auto is = [](const char* text, TargetKind kind, const char* rest) {
        const auto target = parse_target(text);
        ASSERT_TRUE(target) << text;
        EXPECT_EQ(target->kind, kind) << text;
        EXPECT_EQ(target->text, rest) << text;
    };
    is("qemu:1234", TargetKind::qemu, "1234");
    is("qemu:web:1", TargetKind::qemu, "web:1");
    is("qmp:/run/x.sock", TargetKind::qmp, "/run/x.sock");
    is("kvm:99", TargetKind::kvm, "99");
    is("file:qemu:1", TargetKind::file, "qemu:1");
    is("raw:/tmp/image", TargetKind::raw, "/tmp/image");
    is("raw:qemu:1", TargetKind::raw, "qemu:1");
    is("/tmp/image", TargetKind::file, "/tmp/image");
    is("./kmv:12", TargetKind::file, "./kmv:12");
    is("C8:34", TargetKind::file, "C8:34");
    is("image", TargetKind::file, "image");
}

TEST(Target, UsageNamesTheForms) {
    for (const char* text : {"", "qemu:", "qmp:", "kvm:", "file:", "raw:", "kvm:x", "kvm:-1", "kmv:12", "QEMU:x"}) {
        const auto target = parse_target(text);
        ASSERT_FALSE(target) << text;
        EXPECT_EQ(target.error().code, Errc::usage);
        for (const char* form : {"qemu:PID", "qemu:NAME", "qmp:SOCKET", "kvm:PID", "raw:PATH"}) {
            EXPECT_NE(target.error().hint().find(form), std::string::npos) << text;
        }
    }
}

TEST(Target, TextLeadsBack) {
    for (const char* text : {"qemu:a", "qmp:/s", "kvm:1", "/x", "file:abc:1", "raw:/x", "raw:image"}) {
        EXPECT_EQ(to_string(*parse_target(text)), text);
    }
}

TEST(Target, WhatIsNoMachine) {
    const auto self = open_machine({TargetKind::qemu, std::to_string(::getpid())}, {});
    ASSERT_FALSE(self);
    EXPECT_EQ(self.error().code, Errc::usage);
    EXPECT_FALSE(self.error().hint().empty());
    EXPECT_EQ(open_machine({TargetKind::qemu, "99999999999999999999"}, {}).error().code, Errc::not_found);
    EXPECT_EQ(open_machine({TargetKind::kvm, "0"}, {}).error().code, Errc::usage);
    EXPECT_EQ(open_machine({TargetKind::qmp, "/nonexistent/socket"}, {}).error().code, Errc::not_found);
}

TEST(ListMachines, EveryRowNamesATarget) {
    const auto machines = list_machines();
    ASSERT_TRUE(machines);
    for (const MachineListing& m : *machines) EXPECT_FALSE(m.target.empty());
}

}  // namespace
}  // namespace vitrine
