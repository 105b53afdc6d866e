#include <gtest/gtest.h>

#include <set>

#include "app/exit_code.h"

namespace vitrine::cli {
namespace {

ExitCode code(Errc errc, Origin origin, Phase phase) { return exit_code(Error::make(errc, origin, "test"), phase); }

TEST(ExitCode, OpeningFailsAsUnreachable) {
    EXPECT_EQ(code(Errc::not_found, Origin::source, Phase::open), 3);
    EXPECT_EQ(code(Errc::permission, Origin::source, Phase::open), 3);
    EXPECT_EQ(code(Errc::malformed, Origin::source, Phase::open), 3);
    EXPECT_EQ(code(Errc::unsupported, Origin::source, Phase::open), 3);
    EXPECT_EQ(code(Errc::ambiguous, Origin::user, Phase::open), 3);
    EXPECT_EQ(code(Errc::usage, Origin::user, Phase::open), 3) << "a process that is no machine";
    EXPECT_EQ(code(Errc::usage, Origin::user, Phase::target), 2);
    EXPECT_EQ(code(Errc::usage, Origin::types, Phase::query), 2);
}

TEST(ExitCode, NoKernelIsUnsupported) {
    EXPECT_EQ(code(Errc::not_found, Origin::guest, Phase::attach), 4);
    EXPECT_EQ(code(Errc::inconsistent, Origin::guest, Phase::attach), 4);
    EXPECT_EQ(code(Errc::malformed, Origin::symbols, Phase::attach), 4);
    EXPECT_EQ(code(Errc::stale, Origin::guest, Phase::attach), 3);
    EXPECT_EQ(code(Errc::fault, Origin::source, Phase::attach), 3);
    EXPECT_EQ(code(Errc::not_found, Origin::user, Phase::attach), 2);
}

TEST(ExitCode, AnswersThatCannotBeGiven) {
    EXPECT_EQ(code(Errc::not_found, Origin::types, Phase::query), 5);
    EXPECT_EQ(code(Errc::cycle, Origin::table, Phase::query), 5);
    EXPECT_EQ(code(Errc::unsupported, Origin::table, Phase::query), 4);
    EXPECT_EQ(code(Errc::stale, Origin::source, Phase::query), 3);
    EXPECT_EQ(code(Errc::unsupported, Origin::source, Phase::query), 5) << "an image has no registers";
    EXPECT_EQ(code(Errc::unsupported, Origin::user, Phase::query), 2);
}

// Whatever the error: never success, and never a code that is not in the manual.
TEST(ExitCode, EveryErrorHasADocumentedCode) {
    std::set<int> documented;
    for (const ExitCodeSpec& spec : exit_codes()) documented.insert(spec.code);
    for (const Phase phase : {Phase::target, Phase::open, Phase::attach, Phase::query}) {
        for (int errc = 0; errc <= static_cast<int>(Errc::usage); ++errc) {
            for (int origin = 0; origin <= static_cast<int>(Origin::user); ++origin) {
                const int got = code(static_cast<Errc>(errc), static_cast<Origin>(origin), phase);
                EXPECT_NE(got, 0);
                EXPECT_TRUE(documented.contains(got)) << got;
            }
        }
    }
}

}  // namespace
}  // namespace vitrine::cli
