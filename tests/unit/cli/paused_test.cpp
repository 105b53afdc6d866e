// A paused guest waits for nobody: neither for the reader of the rows, nor for a disk that is full.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "app/app.h"
#include "app/interrupt.h"
#include "fake_engine.h"
#include "render/output.h"

namespace vitrine::cli::test {
namespace {

using ::testing::HasSubstr;

// A pipe that holds 4 KiB, then its writer waits.
class NarrowPipe {
public:
    NarrowPipe() {
        if (pipe2(ends_.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe");
        fcntl(ends_[1], F_SETPIPE_SZ, 4096);
    }
    NarrowPipe(const NarrowPipe&) = delete;
    NarrowPipe& operator=(const NarrowPipe&) = delete;
    ~NarrowPipe() {
        close(ends_[0]);
        close_writer();
    }
    void close_writer() {
        if (ends_[1] >= 0) close(std::exchange(ends_[1], -1));
    }
    [[nodiscard]] int writer() const { return ends_[1]; }
    [[nodiscard]] std::string drain() const {
        std::string all;
        std::array<char, 65536> part;
        for (ssize_t got = 0; (got = ::read(ends_[0], part.data(), part.size())) > 0;)
            all.append(part.data(), static_cast<std::size_t>(got));
        return all;
    }

private:
    std::array<int, 2> ends_{-1, -1};
};

const std::vector<std::string> kPausedRows{"table", "processes", "qemu:web1", "--paused", "-f", "json"};

Script many_rows(std::size_t count) {
    Script script;
    script.endless_rows = count;
    return script;
}

// Rows for which memory alone is enough, and rows for which it is not.
class NobodyReads : public ::testing::TestWithParam<std::size_t> {};

TEST_P(NobodyReads, TheGuestGoesOn) {
    Script script = many_rows(GetParam());
    std::promise<void> resumed;
    script.on_resume = [&] { resumed.set_value(); };
    FakeEngine engine(script);
    NarrowPipe pipe;
    TemporaryFile err;
    int code = -1;
    std::thread program([&] {
        code = run_program(kPausedRows, engine, pipe.writer(), err.fd());
        pipe.close_writer();
    });
    const auto waited = resumed.get_future().wait_for(std::chrono::seconds(20));
    const std::string text = pipe.drain();
    program.join();
    EXPECT_EQ(waited, std::future_status::ready) << "the guest waits for the reader";
    EXPECT_EQ(code, 0) << err.text();
    const auto rows = nlohmann::json::parse(text);
    ASSERT_EQ(rows.size(), GetParam()) << "held, not lost";
    for (std::size_t i = 0; i < rows.size(); ++i) ASSERT_EQ(rows[i]["pid"], i);
    EXPECT_THAT(err.text(), HasSubstr("the guest was paused for"));
}

INSTANTIATE_TEST_SUITE_P(Rows, NobodyReads, ::testing::Values(500, 40'000));

[[noreturn]] void end_with(int code, const Script& script) { _exit(script.resumes == 1 ? code : 1); }

[[noreturn]] void interrupt_before_a_full_pipe() {
    install_interrupt_handler();
    alarm(20);
    Script script = many_rows(5000);
    script.on_run = [] { raise(SIGINT); };
    FakeEngine engine(script);
    const NarrowPipe pipe;
    const TemporaryFile err;
    const std::string before(4096, 'x');
    if (write(pipe.writer(), before.data(), before.size()) != 4096) _exit(1);
    end_with(run_program(kPausedRows, engine, pipe.writer(), err.fd()), script);
}

// Ctrl-C while the guest is paused and nobody reads: the guest is continued and the program ends.
TEST(PausedDeathTest, AnInterruptedProgramWaitsForNobody) {
    EXPECT_EXIT(interrupt_before_a_full_pipe(), ::testing::ExitedWithCode(130), "");
}

[[noreturn]] void keep_rows_nowhere() {
    setenv("TMPDIR", "/proc/nowhere", 1);
    Script script = many_rows(40'000);
    FakeEngine engine(script);
    const TemporaryFile out;
    const int code = run_program(kPausedRows, engine, out.fd(), STDERR_FILENO);
    end_with(out.text().empty() ? code : 1, script);
}

TEST(PausedDeathTest, NoRoomForTheRowsIsSaid) {
    EXPECT_EXIT(keep_rows_nowhere(), ::testing::ExitedWithCode(74),
                "cannot keep the rows until the guest goes on: .*\n  hint: TMPDIR");
}

// Ctrl-Z: a program that stands still continues no guest.
TEST(Paused, TheProgramDoesNotStopBeforeTheGuestGoesOn) {
    const auto blocked = [] {
        sigset_t now;
        pthread_sigmask(SIG_BLOCK, nullptr, &now);
        return sigismember(&now, SIGTSTP) == 1;
    };
    bool while_paused = false;
    bool at_resume = false;
    Script script = many_rows(2);
    script.on_run = [&] { while_paused = blocked(); };
    script.on_resume = [&] { at_resume = blocked(); };
    FakeEngine engine(script);
    const TemporaryFile out;
    EXPECT_EQ(run_program(kPausedRows, engine, out.fd(), STDERR_FILENO), 0);
    EXPECT_TRUE(while_paused && at_resume);
    EXPECT_FALSE(blocked());
}

TEST(HeldOutput, ComesInOrder) {
    TemporaryFile file;
    Output output(file.fd());
    output.write("before ");
    output.hold();
    const std::string much(std::size_t{9} << 20, 'm');
    output.write(much);
    output.write(" tail");
    output.flush();
    EXPECT_EQ(file.text(), "");
    output.release();
    output.write(" after");
    output.flush();
    EXPECT_EQ(file.text(), "before " + much + " tail after");
}

}  // namespace
}  // namespace vitrine::cli::test
