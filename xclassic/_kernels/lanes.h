// Chunks of stored weights made of the lanes of other chunks; see blocks/weights.py for the arrays.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace xclassic {

// Weights that lanes are taken from, with a new place for each.
struct LaneSource {
    const int64_t* chunk_group_ptr = nullptr;
    const int64_t* chunk_feature_ptr = nullptr;
    const int64_t* chunk_cell_ptr = nullptr;
    const int64_t* chunk_value_ptr = nullptr;
    const int32_t* features = nullptr;
    const uint32_t* feature_cell_ptr = nullptr;
    const uint16_t* cell_groups = nullptr;
    const uint16_t* cell_masks = nullptr;
    const uint8_t* values = nullptr;
    const int32_t* lane_of = nullptr;   // (n_lanes,) the lane in its new chunk, or -1
    const int64_t* chunk_of = nullptr;  // (n_new_chunks,) the chunk whose lanes go there, or -1
};

struct LaneChunks {
    std::vector<int64_t> chunk_features, chunk_cells, chunk_values;  // numbers of each chunk
    std::vector<int32_t> features;
    std::vector<uint32_t> feature_cells, feature_values;  // numbers of each row of cells
    std::vector<uint16_t> cell_groups, cell_masks;
    std::vector<uint8_t> values;
};

// Where the next row of cells of a source begins.
struct LaneCursor {
    const LaneSource* source;
    const int32_t* lane_of;  // of the first lane of the chunk
    int64_t row, end, cell, value;
};

struct MovedValue {
    int32_t lane;
    const uint8_t* value;
};

inline void collect_row(LaneCursor& at, int64_t width, std::vector<MovedValue>& found) {
    const LaneSource& source = *at.source;
    const int64_t end = at.cell + uint32_t(source.feature_cell_ptr[at.row + 1] - source.feature_cell_ptr[at.row]);
    for (; at.cell < end; ++at.cell) {
        const int32_t* lanes = at.lane_of + 16 * int64_t(source.cell_groups[at.cell]);
        for (int lane = 0; lane < 16; ++lane) {
            if (!(source.cell_masks[at.cell] >> lane & 1)) continue;
            if (lanes[lane] >= 0) found.push_back({lanes[lane], source.values + width * at.value});
            ++at.value;
        }
    }
    ++at.row;
}

inline void append_row(LaneChunks& out, int32_t feature, int64_t width, std::vector<MovedValue>& found) {
    const auto before = [](const MovedValue& a, const MovedValue& b) { return a.lane < b.lane; };
    if (!std::is_sorted(found.begin(), found.end(), before)) std::sort(found.begin(), found.end(), before);
    uint32_t n_cells = 0;
    for (const MovedValue& moved : found) {
        const uint16_t group = uint16_t(moved.lane / 16);
        if (n_cells == 0 || out.cell_groups.back() != group) {
            out.cell_groups.push_back(group);
            out.cell_masks.push_back(0);
            ++n_cells;
        }
        out.cell_masks.back() |= uint16_t(1u << (moved.lane % 16));
        out.values.insert(out.values.end(), moved.value, moved.value + width);
    }
    out.features.push_back(feature);
    out.feature_cells.push_back(n_cells);
    out.feature_values.push_back(uint32_t(found.size()));
}

// `width` is the number of bytes of a value.
inline void move_lanes(const std::vector<LaneSource>& sources, int64_t n_chunks, int64_t width, const uint8_t* stop,
                       LaneChunks& out) {
    std::vector<LaneCursor> cursors;
    std::vector<MovedValue> found;
    for (int64_t chunk = 0; chunk < n_chunks && !*stop; ++chunk) {
        const size_t n_features = out.features.size(), n_cells = out.cell_groups.size(), n_bytes = out.values.size();
        cursors.clear();
        for (const LaneSource& source : sources) {
            const int64_t from = source.chunk_of[chunk];
            if (from < 0) continue;
            cursors.push_back({&source, source.lane_of + 16 * source.chunk_group_ptr[from], source.chunk_feature_ptr[from],
                               source.chunk_feature_ptr[from + 1], source.chunk_cell_ptr[from],
                               source.chunk_value_ptr[from]});
        }
        while (true) {
            int32_t feature = INT32_MAX;
            for (const LaneCursor& at : cursors)
                if (at.row < at.end) feature = std::min(feature, at.source->features[at.row]);
            if (feature == INT32_MAX) break;  // Features are below it.
            found.clear();
            for (LaneCursor& at : cursors)
                if (at.row < at.end && at.source->features[at.row] == feature) collect_row(at, width, found);
            if (!found.empty()) append_row(out, feature, width, found);
        }
        out.chunk_features.push_back(int64_t(out.features.size() - n_features));
        out.chunk_cells.push_back(int64_t(out.cell_groups.size() - n_cells));
        out.chunk_values.push_back(int64_t((out.values.size() - n_bytes) / size_t(width)));
    }
}

}  // namespace xclassic
