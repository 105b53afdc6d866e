#include "session.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "failure.h"

namespace vitrine::python {
namespace {

using namespace std::chrono_literals;

constexpr auto kSignalsLookedAt = 50ms;

bool is_path(TargetKind kind) { return kind == TargetKind::file || kind == TargetKind::raw || kind == TargetKind::qmp; }

// NAME of qemu:NAME, the name of a file without its folders.
std::string short_name(const Target& target) {
    if (!is_path(target.kind)) return target.text;
    const std::string name = target.text.substr(target.text.find_last_of('/') + 1);
    return name.empty() ? target.text : name;
}

// The whole target where two would be the same.
std::vector<std::string> names_of(const std::vector<std::string>& targets) {
    std::vector<std::string> names;
    for (const std::string& text : targets) {
        if (std::count(targets.begin(), targets.end(), text) > 1) throw usage(text + " is given twice");
        names.push_back(short_name(value_of(parse_target(text))));
    }
    std::vector<std::string> unique = names;
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (std::count(names.begin(), names.end(), names[i]) > 1) unique[i] = targets[i];
    }
    return unique;
}

Result<std::unique_ptr<Guest>> attach(const std::string& text, const Settings& settings) {
    OpenOptions open;
    open.use_qmp = settings.use_qmp;
    open.use_injection = settings.use_registers;
    const Target target = VITRINE_TRY(parse_target(text));
    auto machine = VITRINE_TRY(open_machine(target, open));
    AttachOptions options;
    options.use_registers = settings.use_registers;
    options.use_cache = settings.use_cache;
    options.cache_directory = settings.cache_directory;
    options.vmlinux = settings.vmlinux;
    return Guest::attach(std::move(machine), options);
}

class NoRows final : public ResultSink {
public:
    void columns(std::span<const ResultColumn>) override {}
    bool row(std::span<const Value>) override { return true; }
};

}  // namespace

Session::Session(const std::vector<std::string>& targets, const Settings& settings)
    : targets_(targets), process_(::getpid()) {
    if (targets.empty()) throw usage("no target is given");
    names_ = names_of(targets);
    const WithoutInterpreter without_interpreter;
    std::vector<NamedGuest> named;
    for (std::size_t i = 0; i < targets.size(); ++i) {
        auto guest = attach(targets[i], settings);
        if (!guest) throw Failure(targets.size() > 1 ? about(targets[i], guest.error()) : guest.error());
        members_.push_back({names_[i], targets[i], std::move(*guest)});
        named.push_back({names_[i], *members_.back().guest});
    }
    database_ = value_of(Database::open(std::move(named)));
}

Session::~Session() {
    if (is_own_process()) {
        (void)resume_guests();
        return;
    }
    (void)database_.release();
    for (Member& member : members_) (void)member.guest.release();
}

bool Session::is_own_process() const { return ::getpid() == process_; }

// Waits without the interpreter's lock, and lets signal handlers run meanwhile.
void Session::lock(std::unique_lock<std::timed_mutex>& lock, Purpose purpose) {
    if (!is_own_process()) throw usage("a guest cannot be used in a forked child", "open it there");
    if (owner_.load() == std::this_thread::get_id()) throw usage("a signal handler cannot ask while a query runs");
    lock = std::unique_lock(mutex_, std::defer_lock);
    if (purpose == Purpose::close) interrupt();
    while (!lock.try_lock_for(kSignalsLookedAt)) {
        if (purpose == Purpose::close) interrupt();
        const py::gil_scoped_acquire interpreter;
        if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    }
    owner_.store(std::this_thread::get_id());
}

Session::Use::Use(Session& session, Purpose purpose) : session_(session) {
    if (session.closed_ && purpose == Purpose::ask) throw Closed();
    without_interpreter_.emplace();
    session.lock(lock_, purpose);
    if (!session.closed_ || purpose == Purpose::close) return;
    session.owner_.store({});
    throw Closed();
}

Session::Use::~Use() { session_.owner_.store({}); }

Guest& Session::fresh_guest(std::size_t member) {
    Guest& guest = *members_.at(member).guest;
    if (pauses_ == 0 && guest.machine().is_live()) guest.new_generation();
    return guest;
}

void Session::pause() {
    const Use use(*this);
    if (pauses_++ > 0) return;
    const auto failed = [this](Error error) {
        pauses_ = 0;
        if (!resume_guests()) error = about("some guests may stay paused", error);
        return Failure(std::move(error));
    };
    for (Member& member : members_) {
        Machine& machine = member.guest->machine();
        PauseControl* control = machine.pause_control();
        if (control == nullptr && machine.is_live()) {
            throw failed(Error::with_text(Errc::unsupported, Origin::user,
                                          member.name + ": this machine cannot be paused from here",
                                          "vitrine doctor TARGET says which routes are missing"));
        }
        if (control == nullptr) continue;  // images stand still
        if (auto paused = control->pause(); !paused) throw failed(paused.error());
        paused_.push_back(control);
        member.guest->new_generation();
    }
    database_->set_paused(true);
}

// All of them, whatever happens to one.
Result<void> Session::resume_guests() {
    Result<void> result;
    for (; !paused_.empty(); paused_.pop_back()) {
        auto resumed = paused_.back()->resume();
        if (!resumed && result) result = resumed;
    }
    return result;
}

void Session::resume() {
    const Use use(*this);
    if (pauses_ == 0) throw usage("the guest is not paused");
    if (--pauses_ > 0) return;
    database_->set_paused(false);
    check(resume_guests());
}

void Session::close() {
    if (!is_own_process()) return;
    const Use use(*this, Purpose::close);
    if (closed_) return;
    closed_ = true;
    database_.reset();
    const auto resumed = resume_guests();
    members_.clear();
    check(resumed);
}

void Session::interrupt() {
    const std::lock_guard guard(interrupt_mutex_);
    if (!asking_) return;
    interrupted_ = true;
    database_->interrupt();
}

Session::Announced::Announced(Session& session) : session_(session) {
    const std::lock_guard guard(session.interrupt_mutex_);
    session.asking_ = true;
    session.interrupted_ = false;
}

// Also when the statement was not begun, or thrown out of.
Session::Announced::~Announced() {
    const std::lock_guard guard(session_.interrupt_mutex_);
    session_.asking_ = false;
}

Result<QueryReport> Session::ask(std::string_view sql, std::span<const Value> parameters, const QueryLimits& limits,
                                 ResultSink& sink) {
    auto report = database_->query(sql, parameters, limits, sink);
    bool interrupted = false;
    {
        const std::lock_guard guard(interrupt_mutex_);
        asking_ = false;
        interrupted = interrupted_;
    }
    // An interrupt that comes when a statement has just ended is kept for the next one: here it meets one that nobody misses.
    NoRows none;
    if (interrupted) (void)database_->query("SELECT count(*) FROM vitrine_diagnostics", {}, none);
    return report;
}

}  // namespace vitrine::python
