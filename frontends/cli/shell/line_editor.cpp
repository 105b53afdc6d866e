#include "shell/line_editor.h"

#include <fcntl.h>
#include <histedit.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <clocale>
#include <cwchar>

#include "app/interrupt.h"
#include "render/terminal.h"
#include "vitrine/base/text.h"

namespace vitrine::cli {
namespace {

constexpr int kHistorySize = 1000;
constexpr std::size_t kMostShown = 200;

volatile sig_atomic_t continued = 0;
void on_continue(int) { continued = 1; }

// After Ctrl-Z and fg the terminal has the modes of the shell above: libedit must set its own again.
class ContinueHandler {
public:
    ContinueHandler() {
        struct sigaction action{};
        action.sa_handler = on_continue;
        sigemptyset(&action.sa_mask);
        sigaction(SIGCONT, &action, &before_);
    }
    ContinueHandler(const ContinueHandler&) = delete;
    ContinueHandler& operator=(const ContinueHandler&) = delete;
    ~ContinueHandler() { sigaction(SIGCONT, &before_, nullptr); }

private:
    struct sigaction before_{};
};

// Until there is something to read; false if a signal came before or meanwhile. None is lost in between.
bool wait_for_input(int fd) {
    sigset_t held;
    sigset_t before;
    sigemptyset(&held);
    sigaddset(&held, SIGINT);
    sigaddset(&held, SIGCONT);
    pthread_sigmask(SIG_BLOCK, &held, &before);
    pollfd input{fd, POLLIN, 0};
    const bool signalled = cli::interrupted() || continued != 0;
    const bool ready = !signalled && ppoll(&input, 1, nullptr, &before) > 0;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return ready;
}

FILE* stream_of(int fd, const char* mode) {
    const int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    FILE* stream = copy < 0 ? nullptr : fdopen(copy, mode);
    if (stream == nullptr && copy >= 0) close(copy);
    return stream;
}

}  // namespace

struct LineEditor::Library {
    int in_fd = -1;
    FILE* in = nullptr;
    FILE* out = nullptr;
    EditLine* editor = nullptr;
    History* history = nullptr;
    std::string history_path;
    Completer completer;
    std::string so_far;
    bool interrupted = false;
    mbstate_t partial{};

    Library() = default;
    Library(const Library&) = delete;
    Library& operator=(const Library&) = delete;
    ~Library() {
        if (editor != nullptr) el_end(editor);
        if (history != nullptr) history_end(history);
        if (in != nullptr) fclose(in);
        if (out != nullptr) fclose(out);
    }

    static Library& of(EditLine* editor) {
        void* self = nullptr;
        el_get(editor, EL_CLIENTDATA, &self);
        return *static_cast<Library*>(self);
    }
    static char* prompt(EditLine* editor) {
        static char first[] = "vitrine> ";
        static char more[] = "    ...> ";
        return of(editor).so_far.empty() ? first : more;
    }
    // libedit's own reading goes on after a signal; ours ends the line at Ctrl-C.
    static int read_character(EditLine* editor, wchar_t* character);
    static unsigned char complete_word(EditLine* editor, int);
    void show(const std::vector<std::string>& names) const;
};

int LineEditor::Library::read_character(EditLine* editor, wchar_t* character) {
    Library& self = of(editor);
    while (true) {
        if (!wait_for_input(self.in_fd)) {
            self.interrupted = cli::interrupted();
            if (self.interrupted) return -1;
            if (continued != 0) {
                continued = 0;
                el_set(editor, EL_PREP_TERM, 1);
                el_set(editor, EL_REFRESH);
            }
            continue;
        }
        char byte = 0;
        const ssize_t got = ::read(self.in_fd, &byte, 1);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return static_cast<int>(got);
        const std::size_t length = std::mbrtowc(character, &byte, 1, &self.partial);
        if (length == static_cast<std::size_t>(-2)) continue;  // more bytes to come
        if (length == static_cast<std::size_t>(-1)) {
            self.partial = {};
            continue;  // no character of this locale
        }
        return 1;
    }
}

unsigned char LineEditor::Library::complete_word(EditLine* editor, int) {
    Library& self = of(editor);
    const LineInfo* info = el_line(editor);
    const std::string line(info->buffer, info->lastchar);
    const std::size_t cursor = self.so_far.size() + static_cast<std::size_t>(info->cursor - info->buffer);
    const Completion completion = self.completer(self.so_far + line, cursor);
    if (completion.candidates.empty() || completion.begin < self.so_far.size()) return CC_ERROR;
    const std::string word = (self.so_far + line).substr(completion.begin, cursor - completion.begin);
    const std::string longer = unambiguous(completion, word);
    if (longer.empty()) {
        self.show(completion.candidates);
        return CC_REDISPLAY;
    }
    el_deletestr(editor, static_cast<int>(word.size()));
    el_insertstr(editor, longer.c_str());
    return CC_REFRESH;
}

void LineEditor::Library::show(const std::vector<std::string>& names) const {
    std::size_t widest = 0;
    for (const std::string& name : names) widest = std::max(widest, name.size());
    const std::size_t width = terminal_width(fileno(out)).value_or(80);
    const std::size_t columns = std::max<std::size_t>(1, width / (widest + 2));
    const std::size_t shown = std::min(names.size(), kMostShown);
    std::string text = "\n";
    for (std::size_t i = 0; i < shown; ++i) {
        text += to_terminal_text(names[i]);
        if (i + 1 == shown || (i + 1) % columns == 0) text += '\n';
        else text.append(widest + 2 - names[i].size(), ' ');
    }
    if (shown < names.size()) text += "...\n";
    fputs(text.c_str(), out);
    fflush(out);
}

LineEditor::LineEditor(std::unique_ptr<Library> library) : library_(std::move(library)) {}
LineEditor::~LineEditor() = default;

std::unique_ptr<LineEditor> LineEditor::open(int in_fd, int out_fd, const std::string& history_path,
                                             Completer completer) {
    setlocale(LC_CTYPE, "");
    auto library = std::make_unique<Library>();
    library->in_fd = in_fd;
    library->in = stream_of(in_fd, "r");
    library->out = stream_of(out_fd, "w");
    if (library->in == nullptr || library->out == nullptr) return nullptr;
    library->editor = el_init("vitrine", library->in, library->out, library->out);
    library->history = history_init();
    if (library->editor == nullptr || library->history == nullptr) return nullptr;
    library->history_path = history_path;
    library->completer = std::move(completer);
    EditLine* editor = library->editor;
    HistEvent event{};
    history(library->history, &event, H_SETSIZE, kHistorySize);
    history(library->history, &event, H_SETUNIQUE, 1);
    if (!history_path.empty()) history(library->history, &event, H_LOAD, history_path.c_str());
    el_set(editor, EL_CLIENTDATA, library.get());
    el_set(editor, EL_PROMPT, &Library::prompt);
    el_set(editor, EL_EDITOR, "emacs");
    el_set(editor, EL_SIGNAL, 0);
    el_set(editor, EL_HIST, history, library->history);
    el_set(editor, EL_GETCFN, &Library::read_character);
    el_set(editor, EL_ADDFN, "vitrine-complete", "complete the word", &Library::complete_word);
    el_set(editor, EL_BIND, "^I", "vitrine-complete", nullptr);
    el_set(editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
    return std::unique_ptr<LineEditor>(new LineEditor(std::move(library)));
}

LineEnd LineEditor::read(std::string_view so_far, std::string& line) {
    Library& library = *library_;
    library.so_far = so_far;
    library.interrupted = false;
    library.partial = {};
    const ContinueHandler handler;
    el_resize(library.editor);
    el_set(library.editor, EL_PREP_TERM, 1);  // before the prompt is seen: keys pressed at once count as well
    int count = 0;
    const char* text = el_gets(library.editor, &count);
    if (library.interrupted) {
        fputs("^C\n", library.out);
        fflush(library.out);
        return LineEnd::interrupted;
    }
    if (text == nullptr || count <= 0) {
        fputs("\n", library.out);
        fflush(library.out);
        return LineEnd::end;
    }
    line.assign(text, static_cast<std::size_t>(count));
    if (line.ends_with('\n')) line.pop_back();
    return LineEnd::line;
}

void LineEditor::remember(std::string_view entry) {
    HistEvent event{};
    const std::string text(entry);
    history(library_->history, &event, H_ENTER, text.c_str());
    // At once: a program that is killed forgets nothing.
    if (!library_->history_path.empty()) history(library_->history, &event, H_SAVE, library_->history_path.c_str());
}

}  // namespace vitrine::cli
