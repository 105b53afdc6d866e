// Words for flags, kinds and numbers of files.
#include <gtest/gtest.h>

#include "tables/support/file_text.h"

namespace vitrine::tables {
namespace {

TEST(FileText, FlagsHaveTheNamesOfOpen) {
    EXPECT_EQ(open_flags_text(0), "O_RDONLY");
    EXPECT_EQ(open_flags_text(02102001), "O_WRONLY|O_APPEND|O_LARGEFILE|O_CLOEXEC");
    EXPECT_EQ(open_flags_text(3), "O_ACCMODE");  // ioctl only
}

TEST(FileText, WhatConsistsOfOtherFlagsIsNamedWhole) {
    EXPECT_EQ(open_flags_text(04010002), "O_RDWR|O_SYNC");
    EXPECT_EQ(open_flags_text(000010002), "O_RDWR|O_DSYNC");
    EXPECT_EQ(open_flags_text(020200002), "O_RDWR|O_TMPFILE");
    EXPECT_EQ(open_flags_text(000300000), "O_RDONLY|O_LARGEFILE|O_DIRECTORY");
}

TEST(FileText, BitsWithoutANameStay) {
    EXPECT_EQ(open_flags_text(0x8000'0004), "O_RDONLY|020000000004");
    EXPECT_EQ(open_flags_text(04000000), "O_RDONLY|04000000");  // a half of O_SYNC
}

TEST(FileText, KindsAreThoseOfTheMode) {
    EXPECT_EQ(file_kind(0100644), "regular");
    EXPECT_EQ(file_kind(0140777), "socket");
    EXPECT_EQ(file_kind(0010600), "fifo");
    EXPECT_EQ(file_kind(0600), std::nullopt);
    EXPECT_EQ(file_kind(0170000), std::nullopt);
}

TEST(FileText, NumbersOfDevicesAreSplitWhereTheKernelDoes) {
    EXPECT_EQ(device_text(0x0010'0003), "1:3");
    EXPECT_EQ(device_text(0xffff'ffff), "4095:1048575");
    EXPECT_EQ(permissions_text(0104755), "4755");
    EXPECT_EQ(permissions_text(0), "0000");
}

}  // namespace
}  // namespace vitrine::tables
