// The whole program behind main(): parse, dispatch, finish the output, choose the exit code.
#pragma once

#include <span>
#include <string>

#include "app/engine.h"

namespace vitrine::cli {

// words: the command line without the program's name. Writes to out_fd and err_fd; in_fd is read by commands that take SQL from it.
int run_program(std::span<const std::string> words, Engine& engine, int out_fd, int err_fd, int in_fd = 0);

}  // namespace vitrine::cli
