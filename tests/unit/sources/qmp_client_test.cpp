// The client against a server that behaves, and against servers that do not.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>

#include "sources/qmp/qmp_client.h"

namespace vitrine {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr std::string_view kGreeting =
    R"({"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}})";

class Folder {
public:
    Folder() {
        char name[] = "/tmp/vitrine-qmp-XXXXXX";
        path_ = ::mkdtemp(name);
    }
    ~Folder() { std::filesystem::remove_all(path_); }
    [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }

private:
    std::string path_;
};

// Answers each line with what `answer` makes of it; an empty text hangs up.
class Server {
public:
    using Answer = std::function<std::string(const std::string& line, int number)>;

    Server(const std::string& path, std::string greeting, Answer answer)
        : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)),
          greeting_(std::move(greeting)),
          answer_(std::move(answer)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        const bool abstract = path.front() == '@';
        path.copy(address.sun_path, sizeof(address.sun_path) - 1);
        if (abstract) address.sun_path[0] = '\0';
        const auto length = abstract ? offsetof(sockaddr_un, sun_path) + path.size() : sizeof(address);
        EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), static_cast<socklen_t>(length)), 0);
        EXPECT_EQ(::listen(fd_, 1), 0);
        thread_ = std::thread([this] { serve(); });
    }
    ~Server() {
        stop_ = true;
        ::shutdown(fd_, SHUT_RDWR);
        thread_.join();
        ::close(fd_);
    }

private:
    bool wait(int fd) const {
        pollfd entry{fd, POLLIN, 0};
        while (!stop_) {
            if (::poll(&entry, 1, 20) > 0) return true;
        }
        return false;
    }
    void serve() {
        while (wait(fd_)) {
            const int client = ::accept(fd_, nullptr, nullptr);
            if (client < 0) return;
            talk(client);
            ::close(client);
        }
    }
    void talk(int client) {
        if (greeting_.empty()) {
            wait(client);
            while (!stop_) ::usleep(1000);
            return;
        }
        if (!say(client, greeting_ + "\r\n")) return;
        std::string buffer;
        for (int number = 0; wait(client);) {
            char piece[4096];
            const ssize_t n = ::recv(client, piece, sizeof(piece), 0);
            if (n <= 0) return;
            buffer.append(piece, static_cast<std::size_t>(n));
            for (std::size_t end = buffer.find('\n'); end != std::string::npos; end = buffer.find('\n')) {
                const std::string text = answer_(buffer.substr(0, end), number++);
                buffer.erase(0, end + 1);
                if (text.empty() || !say(client, text)) return;
            }
        }
    }
    bool say(int client, const std::string& text) const {
        for (std::size_t done = 0; done < text.size() && !stop_;) {
            const ssize_t n = ::send(client, text.data() + done, text.size() - done, MSG_NOSIGNAL);
            if (n <= 0) return false;
            done += static_cast<std::size_t>(n);
        }
        return true;
    }

    int fd_;
    std::string greeting_;
    Answer answer_;
    std::atomic<bool> stop_ = false;
    std::thread thread_;
};

// A reply as QEMU gives it.
std::string reply_to(const std::string& line, const json& value) {
    const json request = json::parse(line);
    return json{{"return", value}, {"id", request["id"]}}.dump() + "\r\n";
}

Server::Answer polite(const json& value) {
    return
        [value](const std::string& line, int number) { return reply_to(line, number == 0 ? json::object() : value); };
}

TEST(QmpClient, TalksToAServer) {
    const Folder folder;
    const Server server(folder.file("s"), std::string(kGreeting), [](const std::string& line, int number) {
        const json request = json::parse(line);
        if (number == 0) {
            EXPECT_EQ(request["execute"], "qmp_capabilities");
        } else {
            EXPECT_EQ(request["arguments"]["command-line"], "info \"x\"\xef\xbf\xbd");
        }
        return reply_to(line, number == 1 ? json("a\r\nb\r\n") : json::object());
    });
    auto qmp = QmpClient::connect(folder.file("s"), 5s);
    ASSERT_TRUE(qmp) << qmp.error().to_string();
    EXPECT_EQ((*qmp)->qemu_version(), "7.2.22");
    EXPECT_EQ((*qmp)->peer_pid(), ::getpid());
    // Bytes that are no UTF-8 must not throw on their way out.
    const auto text = (*qmp)->hmp("info \"x\"\xff");
    ASSERT_TRUE(text) << text.error().to_string();
    EXPECT_EQ(*text, "a\nb\n");
}

TEST(QmpClient, ManyCommandsAtOnce) {
    const Folder folder;
    const Server server(folder.file("s"), std::string(kGreeting), [](const std::string& line, int number) {
        const json request = json::parse(line);
        if (request["execute"] == "bad") {
            return json{{"error", {{"class", "CommandNotFound"}, {"desc", "no such"}}}, {"id", request["id"]}}.dump() +
                   "\n";
        }
        return reply_to(line, number);
    });
    auto qmp = QmpClient::connect(folder.file("s"), 5s);
    ASSERT_TRUE(qmp);
    const auto replies = (*qmp)->execute_all({{"a"}, {"bad"}, {"c"}});
    ASSERT_EQ(replies.size(), 3u);
    EXPECT_EQ(*replies[0], 1);
    EXPECT_EQ(replies[1].error().code, Errc::unsupported);
    EXPECT_EQ(*replies[2], 3);
    EXPECT_EQ(*(*qmp)->execute("d"), 4) << "the connection goes on";
}

TEST(QmpClient, PrettyPrintedMessagesAndEventsInBetween) {
    const Folder folder;
    const Server server(folder.file("s"), json::parse(kGreeting).dump(4), [](const std::string& line, int) {
        const json event = {{"event", "STOP"}, {"data", {{"text", "} { \" \\"}}}};
        return event.dump(4) + "\r\n" + json{{"return", 1}, {"id", 999}}.dump(4) + "\r\n" +
               reply_to(line, {{"a", {{"b", 2}}}});
    });
    auto qmp = QmpClient::connect(folder.file("s"), 5s);
    ASSERT_TRUE(qmp) << qmp.error().to_string();
    const auto value = (*qmp)->execute("x");
    ASSERT_TRUE(value) << value.error().to_string();
    EXPECT_EQ((*value)["a"]["b"], 2);
}

TEST(QmpClient, NoGreetingIsBusy) {
    const Folder folder;
    const Server server(folder.file("s"), "", polite(1));
    const auto begin = std::chrono::steady_clock::now();
    const auto qmp = QmpClient::connect(folder.file("s"), 100ms);
    ASSERT_FALSE(qmp);
    EXPECT_EQ(qmp.error().code, Errc::busy);
    EXPECT_NE(qmp.error().to_string().find("another client"), std::string::npos);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
    // More clients than the queue of waiting ones holds.
    std::vector<UniqueFd> waiting;
    for (int i = 0; i < 4; ++i) {
        const auto next = QmpClient::connect(folder.file("s"), 30ms);
        ASSERT_FALSE(next);
        EXPECT_EQ(next.error().code, Errc::busy);
    }
}

TEST(QmpClient, WhatDoesNotSpeakQmp) {
    const Folder folder;
    int number = 0;
    for (const char* greeting :
         {"QEMU 7.2.22 monitor - type 'help' for more information\r\n(qemu) ", "[1]", "{}", "{\"QMP\"", "null"}) {
        const std::string path = folder.file(std::to_string(number++));
        const Server server(path, greeting, polite(1));
        const auto qmp = QmpClient::connect(path, 200ms);
        ASSERT_FALSE(qmp) << greeting;
        EXPECT_TRUE(qmp.error().code == Errc::malformed || qmp.error().code == Errc::busy)
            << greeting << qmp.error().to_string();
    }
}

TEST(QmpClient, ErrorsAndHangUps) {
    const Folder folder;
    EXPECT_EQ(QmpClient::connect(folder.file("none"), 1s).error().code, Errc::not_found);
    EXPECT_EQ(QmpClient::connect("", 1s).error().code, Errc::usage);
    {
        const Server server(folder.file("s"), std::string(kGreeting),
                            [](const std::string& line, int n) { return n < 2 ? reply_to(line, n) : std::string(); });
        auto qmp = QmpClient::connect(folder.file("s"), 5s);
        ASSERT_TRUE(qmp);
        ASSERT_TRUE((*qmp)->execute("x"));
        EXPECT_EQ((*qmp)->execute("x").error().code, Errc::stale);
        EXPECT_EQ((*qmp)->execute("x").error().code, Errc::stale);
        for (const auto& reply : (*qmp)->execute_all({{"a"}, {"b"}})) EXPECT_EQ(reply.error().code, Errc::stale);
    }
    EXPECT_EQ(QmpClient::connect(folder.file("s"), 1s).error().code, Errc::stale) << "nobody listens any more";
}

TEST(QmpClient, SilenceEndsInTime) {
    const Folder folder;
    const Server server(folder.file("s"), std::string(kGreeting), [](const std::string& line, int number) {
        return number == 0 ? reply_to(line, 0) : std::string(" ");
    });
    auto qmp = QmpClient::connect(folder.file("s"), 5s);
    ASSERT_TRUE(qmp);
    (*qmp)->set_command_timeout(50ms);
    EXPECT_EQ((*qmp)->execute("x").error().code, Errc::timeout);
    // The late reply must not be taken for the next one's.
    EXPECT_EQ((*qmp)->execute("x").error().code, Errc::stale);
}

TEST(QmpClient, FloodsAreBounded) {
    const Folder folder;
    const std::vector<std::pair<std::string, Errc>> floods{
        {std::string(QmpClient::kMaxReply + (1u << 20), ' '), Errc::limit},
        {"{\"return\": \"" + std::string(QmpClient::kMaxReply + (1u << 20), 'x'), Errc::limit},
        {"{\"return\": " + std::string(100'000, '['), Errc::malformed},
        {"{\"return\": " + std::string(65, '{'), Errc::malformed},
    };
    int number = 0;
    for (const auto& [flood, code] : floods) {
        const std::string path = folder.file(std::to_string(number++));
        const std::string text = flood;
        const Server server(path, std::string(kGreeting),
                            [text](const std::string& line, int n) { return n == 0 ? reply_to(line, 0) : text; });
        auto qmp = QmpClient::connect(path, 5s);
        ASSERT_TRUE(qmp);
        EXPECT_EQ((*qmp)->execute("x").error().code, code) << number;
    }
    std::string events;
    for (int i = 0; i < 11'000; ++i) events += "{\"event\": \"E\"}\r\n";
    const Server server(folder.file("e"), std::string(kGreeting),
                        [events](const std::string& line, int n) { return n == 0 ? reply_to(line, 0) : events; });
    auto qmp = QmpClient::connect(folder.file("e"), 5s);
    ASSERT_TRUE(qmp);
    EXPECT_EQ((*qmp)->execute("x").error().code, Errc::limit);
}

TEST(QmpClient, LongAndAbstractNames) {
    const Folder folder;
    const std::string deep = folder.file(std::string(100, 'a'));
    std::filesystem::create_directory(deep);
    const std::string old = std::filesystem::current_path();
    std::filesystem::current_path(deep);
    {
        const Server server("short", std::string(kGreeting), polite(5));
        std::filesystem::current_path(old);
        ASSERT_GT((deep + "/short").size(), 107u);
        auto qmp = QmpClient::connect(deep + "/short", 5s);
        ASSERT_TRUE(qmp) << qmp.error().to_string();
        EXPECT_EQ(*(*qmp)->execute("x"), 5);
    }
    const std::string name = "@vitrine-test-" + std::to_string(::getpid());
    const Server server(name, std::string(kGreeting), polite(6));
    auto qmp = QmpClient::connect(name, 5s);
    ASSERT_TRUE(qmp) << qmp.error().to_string();
    EXPECT_EQ(*(*qmp)->execute("x"), 6);
}

TEST(QmpMessage, OnlyObjects) {
    EXPECT_TRUE(parse_qmp_message(R"({"a": 1})"));
    for (const char* text :
         {"", "1", "[]", "\"x\"", "{", "{\"a\"}", "{\"a\": nul}", "{\"a\": \"\\ud800\"}", "{} x {"}) {
        const auto message = parse_qmp_message(text);
        EXPECT_FALSE(message) << text;
    }
}

TEST(QmpMessage, ReadersDoNotThrow) {
    const json value = json::parse(R"({"s": "x", "n": 7, "neg": -1, "f": 1.5, "b": true, "o": {}})");
    EXPECT_EQ(json_string(value, "s"), "x");
    EXPECT_EQ(json_unsigned(value, "n"), 7u);
    EXPECT_EQ(json_bool(value, "b"), true);
    for (const char* key : {"s", "neg", "f", "b", "o", "none"}) EXPECT_FALSE(json_unsigned(value, key)) << key;
    for (const char* key : {"n", "o", "none"}) EXPECT_FALSE(json_string(value, key)) << key;
    for (const json& other : {json(), json(1), json::array(), json("x")}) {
        EXPECT_EQ(json_member(other, "a"), nullptr);
        EXPECT_FALSE(json_string(other, "a"));
    }
}

}  // namespace
}  // namespace vitrine
