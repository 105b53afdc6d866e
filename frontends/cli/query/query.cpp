#include "query/query.h"

#include <fmt/format.h>

#include <algorithm>

#include "model/suggest.h"

namespace vitrine::cli {
namespace {

std::vector<std::string> split(std::string_view list) {
    std::vector<std::string> parts;
    while (!list.empty()) {
        const auto comma = std::min(list.find(','), list.size());
        if (comma > 0) parts.emplace_back(list.substr(0, comma));
        list.remove_prefix(std::min(comma + 1, list.size()));
    }
    return parts;
}

std::vector<std::string> all_columns(const TableSpec& spec) {
    std::vector<std::string> names;
    for (const Column& column : spec.columns) names.emplace_back(column.name);
    return names;
}

OrExit<void> check_column(Session& session, const TableSpec& spec, std::string_view name) {
    if (column_index(spec, name)) return {};
    std::vector<std::string_view> names;
    for (const Column& column : spec.columns) names.push_back(column.name);
    const std::string_view near = nearest(name, names);
    return tl::make_unexpected(session.usage(fmt::format("table {} has no column '{}'", spec.name, name),
                                             near.empty()
                                                 ? fmt::format("vitrine schema {} lists the columns", spec.name)
                                                 : fmt::format("did you mean {}?", near)));
}

// The columns a view shows, those that this table has: an older or newer table may lack one.
std::vector<std::string> view_columns(const View* view, const TableSpec& spec) {
    if (view == nullptr || view->columns.empty()) return all_columns(spec);
    std::vector<std::string> columns;
    for (std::string& name : split(view->columns)) {
        if (column_index(spec, name)) columns.push_back(std::move(name));
    }
    return columns;
}

// NULLs first; values of different types by type, which a column never mixes.
bool value_less(const Value& a, const Value& b) {
    struct Visitor {
        const Value& b;
        bool operator()(std::monostate) const { return false; }
        bool operator()(std::int64_t v) const { return v < std::get<std::int64_t>(b); }
        bool operator()(double v) const { return v < std::get<double>(b); }
        bool operator()(AddressValue v) const { return v.value < std::get<AddressValue>(b).value; }
        bool operator()(const std::string& v) const { return v < std::get<std::string>(b); }
    };
    if (a.index() != b.index()) return a.index() < b.index();
    return std::visit(Visitor{b}, a);
}

std::size_t size_of(std::span<const Value> values) {
    std::size_t size = values.size() * sizeof(Value);
    for (const Value& value : values) {
        if (const auto* text = std::get_if<std::string>(&value)) size += text->size();
    }
    return size;
}

// From the table's rows to the writer's: filters, order, choice of columns.
class Pipeline {
public:
    Pipeline(Session& session, const Query& query) : session_(session), query_(query), spec_(query.table->spec) {
        for (const RowFilter& filter : query.filters) filter_index_.push_back(*column_index(spec_, filter.column));
        if (!query.sort.column.empty()) sort_index_ = column_index(spec_, query.sort.column);
        std::vector<OutputColumn> columns;
        for (const std::string& name : query.columns) {
            const std::size_t index = *column_index(spec_, name);
            shown_index_.push_back(index);
            columns.push_back({name, spec_.columns[index].type, hint_for(spec_.name, name)});
        }
        if (query.view != nullptr && session.settings().format == Format::table) {
            substitute_ = column_index(spec_, query.view->substitute.column);
            substitute_from_ = column_index(spec_, query.view->substitute.other);
        }
        writer_ = make_row_writer(session.out(), session.style(), columns);
    }

    [[nodiscard]] std::uint64_t used_columns() const {
        std::uint64_t used = 0;
        const auto use = [&](std::size_t index) { used |= index < 64 ? std::uint64_t{1} << index : 0; };
        for (const std::size_t index : filter_index_) use(index);
        for (const std::size_t index : shown_index_) use(index);
        if (sort_index_) use(*sort_index_);
        if (substitute_ && substitute_from_) use(*substitute_from_);
        return used;
    }

    bool row(std::span<const Value> values) {
        if (values.size() != spec_.columns.size()) return true;  // a table that breaks its own contract
        for (std::size_t i = 0; i < filter_index_.size(); ++i) {
            if (!query_.filters[i].accepts(values[filter_index_[i]])) return true;
        }
        ++accepted_;
        if (!sort_index_) return write(values);
        kept_bytes_ += size_of(values);
        kept_.emplace_back(values.begin(), values.end());
        if (kept_bytes_ > kMostKept) {
            give_up_sorting();
        }
        return true;
    }

    void finish() {
        if (sort_index_) write_sorted();
        writer_->finish();
    }
    // What came before a failure is shown in tables; the other formats must not look complete.
    void break_off() {
        if (session_.settings().format == Format::table && accepted_ > 0) finish();
    }
    [[nodiscard]] std::size_t accepted() const { return accepted_; }
    [[nodiscard]] bool gave_up_sorting() const { return gave_up_sorting_; }

private:
    static constexpr std::size_t kMostKept = std::size_t{48} << 20;

    bool write(std::span<const Value> values) {
        std::vector<Value> shown;
        shown.reserve(shown_index_.size());
        for (const std::size_t index : shown_index_) shown.push_back(shown_value(values, index));
        writer_->row(shown);
        return session_.out().ok();
    }

    [[nodiscard]] Value shown_value(std::span<const Value> values, std::size_t index) const {
        if (!substitute_ || index != *substitute_ || !substitute_from_) return values[index];
        const auto* own = std::get_if<std::string>(&values[index]);
        const auto* other = std::get_if<std::string>(&values[*substitute_from_]);
        if ((own != nullptr && !own->empty()) || other == nullptr) return values[index];
        return fmt::format("[{}]", *other);
    }

    void write_sorted() {
        const std::size_t by = *sort_index_;
        std::stable_sort(kept_.begin(), kept_.end(), [&](const auto& a, const auto& b) {
            return query_.sort.falling ? value_less(b[by], a[by]) : value_less(a[by], b[by]);
        });
        for (const auto& values : kept_) {
            if (!write(values)) return;
        }
    }

    // Memory stays bounded whatever the guest's list is like.
    void give_up_sorting() {
        gave_up_sorting_ = true;
        for (const auto& values : kept_) write(values);
        kept_.clear();
        kept_.shrink_to_fit();
        sort_index_.reset();
    }

    Session& session_;
    const Query& query_;
    const TableSpec& spec_;
    std::vector<std::size_t> filter_index_;
    std::vector<std::size_t> shown_index_;
    std::optional<std::size_t> sort_index_;
    std::optional<std::size_t> substitute_, substitute_from_;
    std::unique_ptr<RowWriter> writer_;
    std::vector<std::vector<Value>> kept_;
    std::size_t kept_bytes_ = 0;
    std::size_t accepted_ = 0;
    bool gave_up_sorting_ = false;
};

OrExit<Sort> parse_sort(Session& session, const TableSpec& spec, const View* view, std::string_view text) {
    if (text.empty()) {
        const std::string_view column = view == nullptr ? std::string_view() : view->sort;
        return column_index(spec, column) ? Sort{std::string(column), false} : Sort{};
    }
    const auto colon = std::min(text.find(':'), text.size());
    const std::string_view order = text.substr(colon);
    if (!order.empty() && order != ":desc" && order != ":asc") {
        return tl::make_unexpected(
            session.usage(fmt::format("--sort takes COLUMN, COLUMN:asc or COLUMN:desc, not '{}'", text)));
    }
    const std::string_view column = text.substr(0, colon);
    if (auto known = check_column(session, spec, column); !known) return tl::make_unexpected(known.error());
    return Sort{std::string(column), order == ":desc"};
}

}  // namespace

const Table* find_table(const Session& session, std::string_view name) {
    for (const Table* table : session.engine().tables()) {
        if (table->spec.name == name) return table;
    }
    return nullptr;
}

std::optional<std::size_t> column_index(const TableSpec& spec, std::string_view name) {
    for (std::size_t i = 0; i < spec.columns.size(); ++i) {
        if (spec.columns[i].name == name) return i;
    }
    return std::nullopt;
}

OrExit<Query> make_query(Session& session, const Table& table, const View* view, const Arguments& arguments) {
    Query query;
    query.table = &table;
    query.view = view;
    query.paused = arguments.has("--paused");
    query.strict = arguments.has("--strict");
    auto sort = parse_sort(session, table.spec, view, arguments.text("--sort"));
    if (!sort) return tl::make_unexpected(sort.error());
    query.sort = std::move(*sort);
    const std::string_view columns = arguments.text("--columns");
    const bool is_table = session.settings().format == Format::table;
    query.columns = columns.empty() && is_table           ? view_columns(view, table.spec)
                    : columns.empty() || columns == "all" ? all_columns(table.spec)
                                                          : split(columns);
    for (const std::string& name : query.columns) {
        if (auto known = check_column(session, table.spec, name); !known) return tl::make_unexpected(known.error());
    }
    return query;
}

int run_query(Session& session, Guest& guest, const Query& query) {
    Pipeline pipeline(session, query);
    const auto row = [&](std::span<const Value> values) { return pipeline.row(values); };
    auto outcome = walk_table(session, guest, *query.table, pipeline.used_columns(), query.paused, row);
    if (pipeline.gave_up_sorting()) {  // said here, for nothing may wait for a reader while the guest is paused
        session.messages().note(
            fmt::format("{}: too much to sort, rows are in the guest's order", query.table->spec.name));
    }
    if (!outcome) {
        pipeline.break_off();
        return outcome.error();
    }
    outcome->shown = pipeline.accepted();
    const bool failed_empty = never_empty(query.table->spec.name) && outcome->rows == 0;
    if (!failed_empty) pipeline.finish();
    session.out().flush();  // rows before what is said about them
    return conclude(session, *query.table, *outcome, query.strict);
}

int run_view(Session& session, const Arguments& arguments, std::string_view command, std::vector<RowFilter> filters) {
    const View* view = find_view(command);
    const Table* table = view == nullptr ? nullptr : find_table(session, view->table);
    if (table == nullptr) {
        session.messages().error(fmt::format("no table stands behind vitrine {}", command),
                                 "this is a defect: please report it");
        return kExitInternal;
    }
    auto query = make_query(session, *table, view, arguments);
    if (!query) return query.error();
    query->filters = std::move(filters);
    for (const RowFilter& filter : query->filters) {
        if (auto known = check_column(session, table->spec, filter.column); !known) return known.error();
    }
    auto guest = session.attach(arguments.text("TARGET"));
    if (!guest) return guest.error();
    return run_query(session, **guest, *query);
}

}  // namespace vitrine::cli
