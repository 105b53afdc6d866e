// Members of structures and unions, and enumerators, of the kernel and its modules.
#include <array>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "tables/support/catalog_walk.h"
#include "tables/support/process_walk.h"

namespace vitrine {
namespace {

using tables::CatalogPart;
using tables::integer;

enum : std::size_t {
    kTypeName,
    kKind,
    kName,
    kType,
    kOffset,
    kBitOffset,
    kBitSize,
    kSize,
    kCount,
    kValue,
    kPosition,
    kLevel,
    kTypeId,
    kModule,
    kColumns
};

constexpr auto kSpec = std::to_array<Column>({
    index({"type_name", ColumnType::text, "name of the type it belongs to; NULL for enumerations without a name"}),
    {"kind", ColumnType::text,
     "structure, union, or enumeration; of a typedef what it names, if that has no name of its own"},
    {"name", ColumnType::text, "name; NULL for a structure or union without one, whose members follow"},
    {"type", ColumnType::text, "its type as C declares it; NULL for enumerators"},
    {"offset", ColumnType::integer, "offset in the type, of bit-fields rounded down; NULL for enumerators",
     Unit::bytes},
    {"bit_offset", ColumnType::integer, "bits behind offset where a bit-field begins, 0 for all others"},
    {"bit_size", ColumnType::integer, "bits of a bit-field; NULL for all others"},
    {"size", ColumnType::integer, "size of its type; NULL where it has none", Unit::bytes},
    {"count", ColumnType::integer, "elements of an array, of its first dimension; NULL for all others"},
    {"value", ColumnType::integer, "value of an enumerator"},
    {"position", ColumnType::integer, "0 for the first, in the order of declaration"},
    {"level", ColumnType::integer, "0; of members of a member without a name one more than its"},
    {"type_id", ColumnType::integer, "number of the type it belongs to, as in types"},
    index({"module", ColumnType::text, "module that defines the type; NULL for the kernel itself"}),
});
static_assert(kSpec.size() == kColumns);

constexpr auto kExamples = std::to_array<std::string_view>({"vitrine table type_members qemu:web1"});

constexpr auto kQueries = std::to_array<std::string_view>({
    "SELECT \"offset\", type, name FROM type_members WHERE type_name = 'task_struct' AND module IS NULL ORDER BY "
    "position",
    "SELECT name, value FROM type_members WHERE type_name = 'pid_type'",
});

constexpr auto kInvariants = std::to_array<Invariant>({
    {"a member lies inside its type",
     "SELECT m.type_name, m.name FROM type_members m JOIN types t ON t.name = m.type_name AND t.id = m.type_id "
     "AND t.module IS m.module WHERE m.type_name = 'task_struct' AND m.\"offset\" + coalesce(m.size, 0) > t.size"},
});

constexpr unsigned kDeepest = 16;              // members without a name inside each other
constexpr std::int64_t kMostOfOne = 1u << 16;  // rows of one type: such nesting may repeat a part without end

// What the rows say of a member's type. Few types are those of most members: what was found out of one is kept until its place is another's.
class MemberTypes {
public:
    struct Facts {
        std::string declaration;
        Value size, count;
    };

    explicit MemberTypes(const QueryContext& context) : context_(context), kept_(kPlaces) {}

    const Facts& of(const CatalogPart& part, TypeId id) {
        Kept& kept = kept_[id % kPlaces];
        if (kept.known && kept.id == id && kept.part == part.number) return kept.facts;
        kept.known = true;
        kept.id = id;
        kept.part = part.number;
        const TypeCatalog& types = part.types;
        if (context_.uses(kType)) kept.facts.declaration = types.declaration(id, "");
        if (context_.uses(kSize)) kept.facts.size = integer(types.size_of(id));
        const Type* type = types.type(types.strip(id));
        const bool is_array = type != nullptr && type->kind == TypeKind::array;
        kept.facts.count = is_array ? Value(std::int64_t{type->count}) : Value();
        return kept.facts;
    }

private:
    static constexpr std::size_t kPlaces = 4096;
    struct Kept {
        bool known = false;
        TypeId id = 0;
        std::size_t part = 0;  // another part's type may have the same id
        Facts facts;
    };
    const QueryContext& context_;
    std::vector<Kept> kept_;
};

class RowMaker {
public:
    RowMaker(const QueryContext& context, RowSink& sink)
        : context_(context),
          sink_(sink),
          warnings_(sink, "type_members"),
          deadline_(context.budget.time),
          types_(context) {}

    bool emit(const CatalogPart& part, TypeId id) {
        const Type& own = *part.types.type(id);
        const Type* type = &own;
        std::string_view name = part.types.type_name(id);
        if (own.kind == TypeKind::typedef_) {
            // typedef struct { ... } atomic_t: the structure has no other name.
            type = part.types.type(own.target);
            if (type == nullptr || type->name != 0) return true;
        } else if (name.empty() && own.kind != TypeKind::enumeration) {
            return true;  // listed where it is a member, or by its typedef
        }
        if (name.empty() && context_.wanted_text(kTypeName) != nullptr) return true;
        begin(part, id, name, type->kind);
        return type->kind == TypeKind::enumeration ? enumerators(part, *type) : members(part, *type, 0, 0);
    }
    [[nodiscard]] std::size_t rows() const { return rows_; }
    [[nodiscard]] bool out_of_time() const { return out_of_time_; }

private:
    void begin(const CatalogPart& part, TypeId id, std::string_view name, TypeKind kind) {
        position_ = 0;
        id_ = id;
        set_text_or_null(row_[kTypeName], name);
        tables::set_text(row_[kKind], to_string(kind));
        row_[kTypeId] = std::int64_t{id};
        set_text_or_null(row_[kModule], part.module);
        for (const std::size_t of_members : {kType, kOffset, kBitOffset, kBitSize, kSize, kCount, kValue})
            row_[of_members] = Value();
    }

    static void set_text_or_null(Value& to, std::string_view text) {
        if (text.empty()) to = Value();
        else tables::set_text(to, text);
    }

    bool row(std::string_view name, std::int64_t level) {
        set_text_or_null(row_[kName], name);
        row_[kPosition] = position_++;
        row_[kLevel] = level;
        ++rows_;
        out_of_time_ = deadline_.passed();
        return sink_.row(row_) && !out_of_time_;
    }

    bool enumerators(const CatalogPart& part, const Type& type) {
        for (const Enumerator& each : part.types.enumerators(type)) {
            row_[kValue] = each.value;
            if (!row(part.types.name(each.name), 0)) return false;
        }
        return true;
    }

    bool members(const CatalogPart& part, const Type& type, std::uint64_t base_bits, unsigned level) {
        if (type.kind != TypeKind::structure && type.kind != TypeKind::union_) return true;
        for (const Member& member : part.types.members(type)) {
            if (position_ == kMostOfOne) {
                warnings_.tell(fmt::format("type {}: more than {} members: the rest is left out", id_, kMostOfOne));
                ++position_;
            }
            if (position_ > kMostOfOne) return true;
            const std::string_view name = part.types.name(member.name);
            const std::uint64_t bits = base_bits + member.bit_offset;
            fill(part, member, bits);
            if (!row(name, level)) return false;
            if (!name.empty()) continue;
            if (level == kDeepest) {
                warnings_.tell(fmt::format("type {}: members without a name too deep inside each other", id_));
                continue;
            }
            const Type* inner = part.types.type(part.types.strip(member.type));
            if (inner != nullptr && !members(part, *inner, bits, level + 1)) return false;
        }
        return true;
    }

    void fill(const CatalogPart& part, const Member& member, std::uint64_t bits) {
        const MemberTypes::Facts& of_type = types_.of(part, member.type);
        if (context_.uses(kType)) tables::set_text(row_[kType], of_type.declaration);
        row_[kOffset] = integer(std::optional(bits / 8));
        row_[kBitOffset] = static_cast<std::int64_t>(bits % 8);
        row_[kBitSize] = member.bit_size != 0 ? Value(std::int64_t{member.bit_size}) : Value();
        row_[kSize] = of_type.size;
        row_[kCount] = of_type.count;
    }

    const QueryContext& context_;
    RowSink& sink_;
    tables::Warnings warnings_;
    Deadline deadline_;
    MemberTypes types_;
    std::array<Value, kColumns> row_;  // the last one
    TypeId id_ = 0;
    std::int64_t position_ = 0;
    std::size_t rows_ = 0;
    bool out_of_time_ = false;
};

Result<WalkReport> generate(LinuxGuest& guest, QueryContext& context, RowSink& sink) {
    RowMaker rows(context, sink);
    const tables::TypesWanted wanted{context.wanted_text(kTypeName), context.wanted_text(kModule)};
    auto report = tables::for_each_type(guest, wanted, context.budget, "type_members", sink,
                                        [&](const CatalogPart& part, TypeId id) { return rows.emit(part, id); });
    if (!report) return report;
    report->nodes = rows.rows();
    if (rows.out_of_time()) report->end = WalkEnd::budget;
    return report;
}

constexpr auto kGenerators = std::to_array<Generator>({{"linux", tables::on_linux<generate>}});

}  // namespace

extern const Table table_type_members;
const Table table_type_members{
    {"type_members", "Members of structures and unions, and enumerators, of the kernel and its modules.", kSpec,
     kExamples, kQueries, kInvariants},
    kGenerators};

}  // namespace vitrine
