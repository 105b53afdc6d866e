#include "views/view_query.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "model/suggest.h"
#include "query/find_table.h"
#include "views/sql_scan.h"

namespace vitrine::cli {
namespace {

struct KnownColumn {
    std::string name;
    ColumnType type;
};

std::vector<std::string> split(std::string_view list) {
    std::vector<std::string> parts;
    while (!list.empty()) {
        const auto comma = std::min(list.find(','), list.size());
        if (comma > 0) parts.emplace_back(list.substr(0, comma));
        list.remove_prefix(std::min(comma + 1, list.size()));
    }
    return parts;
}

class NoRows final : public ResultSink {
public:
    explicit NoRows(std::vector<KnownColumn>& columns) : columns_(columns) {}
    void columns(std::span<const ResultColumn> columns) override {
        for (const ResultColumn& column : columns) columns_.push_back({column.name, column.type});
    }
    bool row(std::span<const Value>) override { return false; }

private:
    std::vector<KnownColumn>& columns_;
};

// What a SELECT gives, asked of a database without guests: nothing is read.
Result<std::vector<KnownColumn>> columns_of(const View& view, std::span<const Table* const> tables) {
    std::vector<KnownColumn> columns;
    const auto database = VITRINE_TRY(Database::open({}, tables));
    std::vector<std::string> order;
    const std::string sql = fmt::format("SELECT * FROM (\n{}\n) LIMIT 0", number_parameters(view.sql, order));
    const std::vector<Value> nothing(order.size());
    NoRows sink(columns);
    VITRINE_CHECK(database->query(sql, nothing, {}, sink));
    return columns;
}

class Maker {
public:
    Maker(Session& session, const View& view, const Arguments& arguments)
        : session_(session), view_(view), arguments_(arguments) {}

    OrExit<ViewQuery> make() {
        if (auto known = find_columns(); !known) return tl::make_unexpected(known.error());
        if (auto chosen = choose_columns(); !chosen) return tl::make_unexpected(chosen.error());
        auto sort = order_by();
        if (!sort) return tl::make_unexpected(sort.error());
        if (auto values = read_values(); !values) return tl::make_unexpected(values.error());

        query_.sql = fmt::format("SELECT {} FROM {} AS v", result_columns(), source());
        std::string conditions;
        for (const ViewOption& option : view_.options) {
            if (option.condition.empty() || !value_of(option)) continue;
            conditions += fmt::format("{}({})", conditions.empty() ? " WHERE " : " AND ", numbered(option.condition));
        }
        query_.has_conditions = std::any_of(view_.options.begin(), view_.options.end(),
                                            [this](const ViewOption& option) { return value_of(option).has_value(); });
        query_.sql += conditions + *sort;
        for (const std::string& name : order_) query_.parameters.push_back(parameter(name));
        return std::move(query_);
    }

private:
    std::string numbered(std::string_view sql) { return number_parameters(sql, order_); }

    std::string source() {
        return view_.table.empty() ? fmt::format("(\n{}\n)", numbered(view_.sql)) : sql_name(view_.table);
    }

    OrExit<void> find_columns() {
        if (!view_.table.empty()) {
            if (const Table* table = find_table(session_, view_.table)) {
                for (const Column& column : table->spec.columns)
                    known_.push_back({std::string(column.name), column.type});
                return {};
            }
        }
        auto columns = columns_of(view_, session_.engine().tables());
        if (columns) {
            known_ = std::move(*columns);
            return {};
        }
        const std::string where = view_.file.empty() ? fmt::format("vitrine {}", view_.name) : view_.file;
        session_.messages().error(fmt::format("{}: {}", where, columns.error().to_string()), columns.error().hint());
        return tl::make_unexpected(exit_code(columns.error(), Phase::query));
    }

    [[nodiscard]] const KnownColumn* find(std::string_view name) const {
        const auto found = std::find_if(known_.begin(), known_.end(),
                                        [&](const KnownColumn& column) { return column.name == name; });
        return found == known_.end() ? nullptr : &*found;
    }

    int unknown_column(std::string_view name) {
        std::vector<std::string_view> names;
        for (const KnownColumn& column : known_) names.push_back(column.name);
        const std::string_view near = nearest(name, names);
        const std::string of = view_.table.empty() ? fmt::format("vitrine {}", view_.name)
                                                   : fmt::format("table {}", view_.table);
        std::string hint = near.empty() ? fmt::format("the columns are {}", fmt::join(names, ", "))
                                        : fmt::format("did you mean {}?", near);
        if (near.empty() && !view_.table.empty())
            hint = fmt::format("vitrine schema {} lists the columns", view_.table);
        return session_.usage(fmt::format("{} has no column '{}'", of, name), hint);
    }

    // Tables for people show the view's choice, those of it that there are; the formats of programs everything.
    OrExit<void> choose_columns() {
        const std::string_view wanted = arguments_.text("--columns");
        if (!wanted.empty() && wanted != "all") {
            columns_ = split(wanted);
        } else if (wanted.empty() && is_for_people()) {
            for (const std::string& name : view_.columns) {
                if (find(name) != nullptr) columns_.push_back(name);
            }
        }
        for (const std::string& name : columns_) {
            if (find(name) == nullptr) return tl::make_unexpected(unknown_column(name));
        }
        if (columns_.empty()) {
            for (const KnownColumn& column : known_) columns_.push_back(column.name);
        }
        return {};
    }

    [[nodiscard]] bool is_for_people() const {
        const Format format = session_.settings().format;
        return format == Format::table || format == Format::markdown;
    }

    [[nodiscard]] std::string result_columns() const {
        std::string list;
        for (const std::string& name : columns_) {
            std::string expression = "v." + sql_name(name);
            for (const ViewShow& show : view_.shows) {
                if (is_for_people() && show.column == name) expression = fmt::format("({})", show.expression);
            }
            list += fmt::format("{}{} AS {}", list.empty() ? "" : ", ", expression, sql_name(name));
        }
        return list;
    }

    OrExit<std::string> order_by() {
        std::string_view text = arguments_.text("--sort");
        const bool is_own = text.empty();
        if (is_own) text = view_.sort;
        if (text.empty()) return std::string();
        const auto colon = std::min(text.find(':'), text.size());
        const std::string_view way = text.substr(colon);
        if (!way.empty() && way != ":desc" && way != ":asc") {
            return tl::make_unexpected(
                session_.usage(fmt::format("--sort takes COLUMN, COLUMN:asc or COLUMN:desc, not '{}'", text)));
        }
        const KnownColumn* column = find(text.substr(0, colon));
        if (column == nullptr && is_own) return std::string();
        if (column == nullptr) return tl::make_unexpected(unknown_column(text.substr(0, colon)));
        const std::string name = "v." + sql_name(column->name);
        const std::string_view order = way == ":desc" ? " DESC" : "";
        // To SQLite addresses are signed: those of the kernel would come before all others.
        if (column->type == ColumnType::address) return fmt::format(" ORDER BY {0} < 0{1}, {0}{1}", name, order);
        return fmt::format(" ORDER BY {}{}", name, order);
    }

    // What was given for an option, by its name or by the word that stands for it.
    [[nodiscard]] std::optional<std::string_view> value_of(const ViewOption& option) const {
        if (arguments_.has(option.name)) return arguments_.text(option.name);
        for (const ViewArgument& argument : view_.arguments) {
            if (argument.option == option.name && arguments_.has(argument.name)) return arguments_.text(argument.name);
        }
        return std::nullopt;
    }

    // Options are checked by the parser, words that stand for them here.
    OrExit<void> read_values() {
        for (const ViewArgument& argument : view_.arguments) {
            if (!arguments_.has(argument.name)) continue;
            if (arguments_.has(argument.option)) {
                return tl::make_unexpected(
                    session_.usage(fmt::format("{} and {} say the same: give one", argument.name, argument.option)));
            }
            const ViewOption* option = view_.find_option(argument.option);
            const std::string_view value = arguments_.text(argument.name);
            const bool is_number = option->kind == ViewValue::number || option->kind == ViewValue::address;
            if (is_number && (!parse_number(value) || (option->kind == ViewValue::number && value.starts_with("0x")))) {
                return tl::make_unexpected(
                    session_.usage(fmt::format("{} is a number, not '{}'", argument.name, value)));
            }
        }
        return {};
    }

    [[nodiscard]] Value parameter(std::string_view name) const {
        for (const ViewOption& option : view_.options) {
            if (option.parameter() != name) continue;
            const auto value = value_of(option);
            if (!value) return {};
            switch (option.kind) {
                case ViewValue::flag: return std::int64_t{1};
                case ViewValue::number: return static_cast<std::int64_t>(parse_number(*value).value_or(0));
                case ViewValue::address: return AddressValue{parse_number(*value).value_or(0)};
                case ViewValue::glob: return sql_glob(*value);
                case ViewValue::text: return std::string(*value);
            }
        }
        return {};
    }

    Session& session_;
    const View& view_;
    const Arguments& arguments_;
    std::vector<KnownColumn> known_;
    std::vector<std::string> columns_;  // of the answer
    std::vector<std::string> order_;    // names of parameters
    ViewQuery query_;
};

}  // namespace

OrExit<ViewQuery> make_view_query(Session& session, const View& view, const Arguments& arguments) {
    return Maker(session, view, arguments).make();
}

View view_of_table(const Table& table) {
    View view;
    view.name = "table";
    view.table = std::string(table.spec.name);
    view.sql = fmt::format("SELECT * FROM {}", sql_name(view.table));
    return view;
}

}  // namespace vitrine::cli
