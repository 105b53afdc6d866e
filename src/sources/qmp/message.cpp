#include "sources/qmp/message.h"

#include "sources/qmp/qmp_client.h"

namespace vitrine {

using nlohmann::json;

MessageScanner::State MessageScanner::scan(std::string_view text) {
    for (; at_ < text.size(); ++at_) {
        const char c = text[at_];
        if (in_string_) {
            if (escaped_) escaped_ = false;
            else if (c == '\\') escaped_ = true;
            else if (c == '"') in_string_ = false;
            continue;
        }
        if (c == '{' || c == '[') {
            if (++depth_ > QmpClient::kMaxNesting) return State::malformed;
        } else if (depth_ == 0) {
            if (c != '\r' && c != '\n' && c != ' ' && c != '\t') return State::malformed;
        } else if (c == '"') {
            in_string_ = true;
        } else if ((c == '}' || c == ']') && --depth_ == 0) {
            ++at_;
            return State::complete;
        }
    }
    return State::incomplete;
}

const json* json_member(const json& object, const char* key) {
    if (!object.is_object()) return nullptr;
    const auto found = object.find(key);
    return found == object.end() ? nullptr : &*found;
}

std::optional<std::string> json_string(const json& object, const char* key) {
    const json* value = json_member(object, key);
    const auto* text = value != nullptr ? value->get_ptr<const std::string*>() : nullptr;
    return text != nullptr ? std::optional(*text) : std::nullopt;
}

std::optional<std::uint64_t> json_unsigned(const json& object, const char* key) {
    const json* value = json_member(object, key);
    const auto* number = value != nullptr ? value->get_ptr<const json::number_unsigned_t*>() : nullptr;
    return number != nullptr ? std::optional<std::uint64_t>(*number) : std::nullopt;
}

std::optional<bool> json_bool(const json& object, const char* key) {
    const json* value = json_member(object, key);
    const auto* flag = value != nullptr ? value->get_ptr<const json::boolean_t*>() : nullptr;
    return flag != nullptr ? std::optional<bool>(*flag) : std::nullopt;
}

Result<json> parse_qmp_message(std::string_view text) {
    if (text.size() > QmpClient::kMaxReply) return Error::make(Errc::limit, Origin::source, "monitor message");
    MessageScanner scanner;
    if (scanner.scan(text) != MessageScanner::State::complete) {
        return Error::make(Errc::malformed, Origin::source, "monitor message");
    }
    json message = json::parse(text.begin(), text.end(), nullptr, false);
    if (!message.is_object()) return Error::make(Errc::malformed, Origin::source, "monitor message");
    return message;
}

}  // namespace vitrine
