#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "app/app.h"
#include "app/exit_code.h"
#include "app/interrupt.h"

namespace {

// A closed standard stream would give its number to the next file that is opened, and messages would be written into that
// file. Standard output becomes something that cannot be written, so that the loss is reported.
void keep_standard_streams() {
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        if (fcntl(fd, F_GETFD) != -1) continue;
        const int opened = open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY);
        if (opened != fd && opened >= 0) {
            dup2(opened, fd);
            close(opened);
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    keep_standard_streams();
    // Lists of a large or hostile guest are given back as they grow: the heap would keep as much again as they are.
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    signal(SIGPIPE, SIG_IGN);
    vitrine::cli::install_interrupt_handler();
    try {
        const std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
        const auto engine = vitrine::cli::make_engine();
        return vitrine::cli::run_program(words, *engine, STDOUT_FILENO, STDERR_FILENO, STDIN_FILENO);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "vitrine: internal error: %s\n  hint: please report this\n", error.what());
        return vitrine::cli::kExitInternal;
    }
}
