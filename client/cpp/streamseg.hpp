// Reads what streamseg publishes: one header, C++17.
//
// Needs cppzmq, nlohmann-json and zlib (Debian: cppzmq-dev nlohmann-json3-dev zlib1g-dev). The format is described in
// docs/protocol.md. A peer controls every byte of a message: sizes are checked before memory is allocated, and what
// contradicts itself raises WireError.
//
// SPDX-License-Identifier: Apache-2.0

#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>
#include <zlib.h>
#include <zmq.hpp>

namespace streamseg {

/// A message that is not valid, in one line.
class WireError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

constexpr std::size_t max_objects = 4096;
constexpr std::size_t max_buffers = 16;
constexpr std::size_t max_header_bytes = 4u << 20;
constexpr std::uint64_t max_buffer_bytes = 256u << 20;
/// Pixels of all crops of a message together.
constexpr std::uint64_t max_mask_pixels = 512u << 20;

/// A mask inside its crop; everything outside the crop is background.
struct Mask {
    /// Top left corner in the mask space, in pixels.
    std::uint32_t x = 0, y = 0;
    std::uint32_t width = 0, height = 0;
    /// height * width pixels, row-major: 0 or 1.
    std::vector<std::uint8_t> pixels;

    std::uint64_t area() const {
        std::uint64_t sum = 0;
        for (auto pixel : pixels) sum += pixel;
        return sum;
    }
};

struct Object {
    /// Stable identity; -1 while tentative.
    std::int64_t track_id = -1;
    std::vector<std::string> prompt_ids;
    /// x0, y0, x1, y1 in continuous pixels of the image.
    std::array<double, 4> box{};
    double score = 0;
    std::optional<std::string> label;
    Mask mask;
};

/// State of a prompt: bound, lost, reacquired or none.
struct PromptStatus {
    std::string id, state;
    double confidence = 0;
    std::int64_t track_id = -1;
    std::optional<double> mask_quality;
};

/// The result of one frame.
struct Message {
    std::string source, epoch, frame_id, clock;
    std::int64_t seq = -1, index = 0;
    /// Capture time, ns since the Unix epoch.
    std::int64_t stamp_ns = 0;
    double age_ms = 0;
    std::optional<double> pts_seconds;
    std::uint32_t image_width = 0, image_height = 0, mask_width = 0, mask_height = 0;
    /// scale_x, scale_y, offset_x, offset_y: x_image = scale_x * x_mask + offset_x.
    std::array<double, 4> mask_to_image{1, 1, 0, 0};
    /// Sorted by descending score.
    std::vector<Object> objects;
    std::vector<PromptStatus> prompts;
    /// The image, on `pic/` topics; else empty.
    std::string jpeg;
};

namespace detail {

using Json = nlohmann::json;

struct Buffer {
    std::string encoding, dtype;
    std::vector<std::uint64_t> shape;
    std::string bytes;

    std::uint64_t size() const {
        std::uint64_t items = 1;
        for (auto side : shape) {
            if (side != 0 && items > max_buffer_bytes / side) throw WireError("a buffer is too large");
            items *= side;
        }
        return items;
    }
};

inline std::uint32_t read_u32(std::string_view bytes, std::size_t item) {
    const auto *at = reinterpret_cast<const unsigned char *>(bytes.data()) + 4 * item;
    return std::uint32_t(at[0]) | std::uint32_t(at[1]) << 8 | std::uint32_t(at[2]) << 16 | std::uint32_t(at[3]) << 24;
}

inline std::string inflate_exactly(std::string_view body, std::uint64_t size) {
    std::string plain(size, '\0');
    z_stream stream{};
    if (inflateInit(&stream) != Z_OK) throw WireError("zlib cannot be initialised");
    stream.next_in = reinterpret_cast<Bytef *>(const_cast<char *>(body.data()));
    stream.avail_in = static_cast<uInt>(body.size());
    unsigned char spare;
    stream.next_out = size ? reinterpret_cast<Bytef *>(plain.data()) : &spare;
    stream.avail_out = size ? static_cast<uInt>(size) : 1;
    const int state = inflate(&stream, Z_FINISH);
    const bool is_whole = state == Z_STREAM_END && stream.total_out == size && stream.avail_in == 0;
    inflateEnd(&stream);
    if (!is_whole) throw WireError("a compressed buffer does not have the size of its shape");
    return plain;
}

inline Buffer read_buffer(const Json &entry, std::string_view body) {
    static const std::map<std::string, std::uint64_t> item_sizes{{"|u1", 1}, {"<u2", 2}, {"<u4", 4}};
    Buffer buffer;
    buffer.encoding = entry.at("encoding").get<std::string>();
    buffer.dtype = entry.at("dtype").get<std::string>();
    if (entry.at("shape").size() > 8) throw WireError("a buffer has more than 8 axes");
    for (const auto &side : entry.at("shape")) {
        if (!side.is_number_unsigned() || side.get<std::uint64_t>() > max_buffer_bytes)
            throw WireError("the shape of a buffer is not a list of sizes");
        buffer.shape.push_back(side.get<std::uint64_t>());
    }
    const auto item = item_sizes.find(buffer.dtype);
    if (item == item_sizes.end()) throw WireError("unknown dtype " + buffer.dtype.substr(0, 20));
    const std::uint64_t num_bytes = buffer.size() * item->second;
    if (num_bytes > max_buffer_bytes) throw WireError("a buffer is too large");
    const auto compression = entry.at("compression").get<std::string>();
    if (compression == "zlib") {
        buffer.bytes = inflate_exactly(body, num_bytes);
    } else if (compression == "none") {
        buffer.bytes = std::string(body);
    } else {
        throw WireError("unknown compression " + compression.substr(0, 20));
    }
    if (buffer.bytes.size() != num_bytes) throw WireError("a buffer does not have the size of its shape");
    return buffer;
}

/// Set `count` pixels of a mask to 1, from the column-major position `start` on.
inline void fill_columns(Mask &mask, std::uint64_t start, std::uint64_t count) {
    for (std::uint64_t at = start; at < start + count; ++at) {
        mask.pixels[(at % mask.height) * mask.width + at / mask.height] = 1;
    }
}

inline void decode_runs(Mask &mask, std::string_view runs) {
    const std::uint64_t total = std::uint64_t(mask.width) * mask.height;
    std::uint64_t at = 0;
    for (std::size_t item = 0; item < runs.size() / 4; ++item) {
        const std::uint64_t count = read_u32(runs, item);
        if (count > total - at) throw WireError("the runs of a mask exceed its crop");
        if (item % 2 == 1) fill_columns(mask, at, count);
        at += count;
    }
    if (at != total) throw WireError("the runs of a mask do not fill its crop");
}

inline void decode_bits(Mask &mask, std::string_view bits) {
    if (bits.size() != (mask.pixels.size() + 7) / 8) throw WireError("a mask does not have the size of its crop");
    for (std::size_t at = 0; at < mask.pixels.size(); ++at) {
        mask.pixels[at] = static_cast<unsigned char>(bits[at / 8]) >> (7 - at % 8) & 1;
    }
}

/// Decode COCO's compressed run lengths over the whole mask space.
inline void decode_coco(Mask &mask, std::string_view text, std::uint64_t canvas_width, std::uint64_t canvas_height) {
    const std::uint64_t total = canvas_width * canvas_height;
    std::vector<std::int64_t> counts;
    std::uint64_t at = 0;
    for (std::size_t position = 0; position < text.size();) {
        std::int64_t value = 0;
        bool has_more = true;
        for (int digit = 0; has_more; ++digit) {
            if (position == text.size() || digit == 7) throw WireError("a COCO mask ends within a number");
            const int bits = static_cast<unsigned char>(text[position++]) - 48;
            if (bits < 0 || bits > 63) throw WireError("a COCO mask contains an invalid character");
            value |= std::int64_t(bits & 31) << (5 * digit);
            has_more = (bits & 32) != 0;
            if (!has_more && (bits & 16) != 0) value -= std::int64_t(1) << (5 * digit + 5);
        }
        if (counts.size() > 2) value += counts[counts.size() - 2];
        if (value < 0 || std::uint64_t(value) > total - at) throw WireError("the runs of a mask exceed the mask space");
        if (counts.size() % 2 == 1) {
            for (std::uint64_t pixel = at; pixel < at + std::uint64_t(value); ++pixel) {
                const std::uint64_t x = pixel / canvas_height - mask.x, y = pixel % canvas_height - mask.y;
                if (x >= mask.width || y >= mask.height) throw WireError("a COCO mask extends beyond its crop");
                mask.pixels[y * mask.width + x] = 1;
            }
        }
        at += std::uint64_t(value);
        counts.push_back(value);
    }
    if (at != total) throw WireError("the runs of a mask do not fill the mask space");
}

inline std::vector<Mask> empty_masks(const Buffer &crops, std::size_t num_masks, const Message &message) {
    if (crops.dtype != "<u4" || crops.shape != std::vector<std::uint64_t>{num_masks, 4})
        throw WireError("'mask_crops' must be <u4 with 4 numbers per object");
    std::vector<Mask> masks(num_masks);
    std::uint64_t num_pixels = 0;
    for (std::size_t n = 0; n < num_masks; ++n) {
        Mask &mask = masks[n];
        mask.x = read_u32(crops.bytes, 4 * n), mask.y = read_u32(crops.bytes, 4 * n + 1);
        mask.width = read_u32(crops.bytes, 4 * n + 2), mask.height = read_u32(crops.bytes, 4 * n + 3);
        if (std::uint64_t(mask.x) + mask.width > message.mask_width ||
            std::uint64_t(mask.y) + mask.height > message.mask_height)
            throw WireError("a crop lies outside the mask space");
        num_pixels += std::uint64_t(mask.width) * mask.height;
        if (num_pixels > max_mask_pixels) throw WireError("the crops have too many pixels");
    }
    for (Mask &mask : masks) mask.pixels.assign(std::size_t(mask.width) * mask.height, 0);
    return masks;
}

inline std::vector<Mask> read_masks(const std::map<std::string, Buffer> &buffers, std::size_t num_masks,
                                    const Message &message) {
    for (const char *name : {"masks", "mask_crops"}) {
        if (buffers.count(name) == 0) throw WireError(std::string("the buffer ") + name + " is missing");
    }
    const Buffer &all = buffers.at("masks");
    std::vector<Mask> masks = empty_masks(buffers.at("mask_crops"), num_masks, message);
    if (all.encoding == "label-u16") {
        if (all.dtype != "<u2" || all.shape != std::vector<std::uint64_t>{message.mask_height, message.mask_width})
            throw WireError("a label map must be <u2 with the size of the mask space");
        const auto *bytes = reinterpret_cast<const unsigned char *>(all.bytes.data());
        for (std::size_t n = 0; n < num_masks; ++n) {
            Mask &mask = masks[n];
            for (std::size_t at = 0; at < mask.pixels.size(); ++at) {
                const std::size_t y = mask.y + at / mask.width, x = mask.x + at % mask.width;
                const std::size_t item = 2 * (y * message.mask_width + x);
                mask.pixels[at] = (bytes[item] | bytes[item + 1] << 8) == int(n + 1);
            }
        }
        return masks;
    }
    const bool has_runs = all.encoding == "rle-crop-u32";
    if (!has_runs && all.encoding != "bits-crop" && all.encoding != "coco-rle")
        throw WireError("unknown mask encoding " + all.encoding.substr(0, 40));
    const std::size_t item = has_runs ? 4 : 1;
    if (all.dtype != (has_runs ? "<u4" : "|u1") || all.shape.size() != 1)
        throw WireError("'masks' has the wrong dtype or shape");
    const auto offsets = buffers.find("mask_offsets");
    if (offsets == buffers.end() || offsets->second.dtype != "<u4" ||
        offsets->second.shape != std::vector<std::uint64_t>{num_masks + 1})
        throw WireError("'mask_offsets' must be <u4 with one number more than objects");
    const std::string_view bytes = all.bytes;
    if (read_u32(offsets->second.bytes, 0) != 0 || read_u32(offsets->second.bytes, num_masks) != all.shape[0])
        throw WireError("'mask_offsets' must begin with 0 and end with the length of 'masks'");
    for (std::size_t n = 0; n < num_masks; ++n) {
        const std::uint32_t start = read_u32(offsets->second.bytes, n), stop = read_u32(offsets->second.bytes, n + 1);
        if (stop < start || stop > all.shape[0]) throw WireError("'mask_offsets' must increase");
        const auto piece = bytes.substr(item * start, item * (stop - start));
        if (has_runs) {
            decode_runs(masks[n], piece);
        } else if (all.encoding == "bits-crop") {
            decode_bits(masks[n], piece);
        } else {
            decode_coco(masks[n], piece, message.mask_width, message.mask_height);
        }
    }
    return masks;
}

inline std::uint32_t side_of(const Json &size, const char *key) {
    const auto side = size.at(key).get<std::int64_t>();
    if (side < 0 || side > 32768) throw WireError("a side of the image or of the mask space is out of range");
    return static_cast<std::uint32_t>(side);
}

inline std::array<double, 4> four_numbers(const Json &values) {
    if (!values.is_array() || values.size() != 4) throw WireError("four numbers are required");
    return values.get<std::array<double, 4>>();
}

inline Message read_header(const Json &header) {
    if (header.at("schema") != "streamseg.frame") throw WireError("the message is not of schema streamseg.frame");
    if (header.at("version").at(0) != 1) throw WireError("only version 1.x is supported; update the reader");
    Message message;
    message.source = header.at("source").get<std::string>();
    message.epoch = header.at("epoch").get<std::string>();
    message.seq = header.at("seq").get<std::int64_t>();
    message.index = header.at("index").get<std::int64_t>();
    const auto seconds = header.at("stamp").at("sec").get<std::int64_t>();
    const auto nanoseconds = header.at("stamp").at("nanosec").get<std::int64_t>();
    if (seconds < 0 || seconds >= 9'000'000'000 || nanoseconds < 0 || nanoseconds >= 1'000'000'000)
        throw WireError("'stamp' is out of range");
    message.stamp_ns = seconds * 1'000'000'000 + nanoseconds;
    message.clock = header.at("clock").get<std::string>();
    message.age_ms = header.at("age_ms").get<double>();
    if (header.contains("pts_seconds") && !header["pts_seconds"].is_null())
        message.pts_seconds = header["pts_seconds"].get<double>();
    message.frame_id = header.value("frame_id", "");
    message.image_width = side_of(header.at("image"), "w"), message.image_height = side_of(header.at("image"), "h");
    const Json &space = header.at("mask_space");
    message.mask_width = side_of(space, "w"), message.mask_height = side_of(space, "h");
    message.mask_to_image = four_numbers(space.at("to_image"));
    for (const auto &values : header.value("prompts", Json::array())) {
        PromptStatus status;
        status.id = values.at("id").get<std::string>();
        status.state = values.at("state").get<std::string>();
        status.confidence = values.at("confidence").get<double>();
        status.track_id = values.at("track_id").get<std::int64_t>();
        if (values.contains("mask_quality") && !values["mask_quality"].is_null())
            status.mask_quality = values["mask_quality"].get<double>();
        message.prompts.push_back(std::move(status));
    }
    return message;
}

inline Object read_object(const Json &values, Mask mask) {
    Object found;
    found.track_id = values.at("track_id").get<std::int64_t>();
    found.prompt_ids = values.at("prompt_ids").get<std::vector<std::string>>();
    found.box = four_numbers(values.at("box"));
    found.score = values.at("score").get<double>();
    if (values.contains("label") && !values["label"].is_null()) found.label = values["label"].get<std::string>();
    found.mask = std::move(mask);
    return found;
}

}  // namespace detail

/// Decode the parts of a message: topic, header, buffers. Raises WireError.
inline Message decode(const std::vector<std::string_view> &parts) {
    using detail::Json;
    if (parts.size() < 2 || parts[1].size() > max_header_bytes) throw WireError("the header is missing or too large");
    try {
        const Json header = Json::parse(parts[1]);
        Message message = detail::read_header(header);
        const Json &entries = header.at("buffers");
        if (entries.size() > max_buffers || entries.size() != parts.size() - 2)
            throw WireError("the number of buffers is not that of the header");
        std::map<std::string, detail::Buffer> buffers;
        for (std::size_t n = 0; n < entries.size(); ++n) {
            const auto name = entries[n].at("name").get<std::string>();
            // Buffers of later versions may have other types: only known ones are read.
            if (name == "jpeg") {
                message.jpeg = detail::read_buffer(entries[n], parts[n + 2]).bytes;
            } else if (name == "masks" || name == "mask_offsets" || name == "mask_crops") {
                buffers.emplace(name, detail::read_buffer(entries[n], parts[n + 2]));
            }
        }
        const Json &objects = header.at("objects");
        if (!objects.is_array() || objects.size() > max_objects) throw WireError("'objects' is no list or too long");
        std::vector<Mask> masks = detail::read_masks(buffers, objects.size(), message);
        for (std::size_t n = 0; n < objects.size(); ++n)
            message.objects.push_back(detail::read_object(objects[n], std::move(masks[n])));
        return message;
    } catch (const Json::exception &error) {
        throw WireError(std::string("invalid header: ") + error.what());
    }
}

/// Return the parts of a message in its single-part form, as views of `body`. Raises WireError.
inline std::vector<std::string_view> unpack_single(std::string_view body) {
    const auto topic = body.find('\0');
    if (topic == 0 || topic == std::string_view::npos || topic > 128 || body.size() < topic + 5)
        throw WireError("a single-part message begins with a topic and a zero byte");
    std::size_t start = topic + 1;
    const std::size_t num_parts = detail::read_u32(body.substr(start), 0);
    start += 4;
    if (num_parts > max_buffers + 1 || body.size() - start < 4 * num_parts)
        throw WireError("a single-part message claims too many parts");
    std::vector<std::string_view> parts{body.substr(0, topic)};
    std::size_t end = start + 4 * num_parts;
    for (std::size_t n = 0; n < num_parts; ++n) {
        const std::size_t length = detail::read_u32(body.substr(start), n);
        if (length > body.size() - end) throw WireError("the parts exceed the message");
        parts.push_back(body.substr(end, length));
        end += length;
    }
    if (end != body.size()) throw WireError("the parts do not fill the message");
    return parts;
}

/// Keys of an encrypted connection, in Z85 (40 characters), as `streamseg keys new` prints them.
struct CurveKeys {
    std::string server_key, public_key, secret_key;
};

/// Receives the newest message of each source: what arrived meanwhile replaces older messages.
///
/// Read at any rate: a SUB socket that is read more slowly than messages arrive returns old ones, so each call takes
/// everything that has arrived. For one thread.
class Subscriber {
  public:
    /// `topic`: `seg/1/` for all sources, `seg/1/cam0/` for one, `pic/1/` with the images.
    explicit Subscriber(const std::string &endpoint, const std::string &topic = "seg/1/",
                        const std::optional<CurveKeys> &keys = std::nullopt)
        : socket_(context_, zmq::socket_type::sub) {
        socket_.set(zmq::sockopt::linger, 0);
        if (keys) {
            socket_.set(zmq::sockopt::curve_serverkey, keys->server_key);
            socket_.set(zmq::sockopt::curve_publickey, keys->public_key);
            socket_.set(zmq::sockopt::curve_secretkey, keys->secret_key);
        }
        socket_.set(zmq::sockopt::subscribe, topic);
        socket_.connect(endpoint);
    }

    /// Return the next message, the newest of its source; nothing if none arrives in time. Raises WireError.
    std::optional<Message> receive(std::chrono::milliseconds timeout) {
        while (take(zmq::recv_flags::dontwait)) {
        }
        if (waiting_.empty()) {
            zmq::pollitem_t item{socket_.handle(), 0, ZMQ_POLLIN, 0};
            if (zmq::poll(&item, 1, timeout) == 0) return std::nullopt;
            while (take(zmq::recv_flags::dontwait)) {
            }
        }
        // The source that has waited longest is next.
        const auto parts = std::move(waiting_.front().second);
        waiting_.erase(waiting_.begin());
        std::vector<std::string_view> views;
        for (const auto &part : parts) views.push_back(part.to_string_view());
        return decode(views);
    }

  private:
    bool take(zmq::recv_flags flags) {
        std::vector<zmq::message_t> parts;
        zmq::message_t part;
        if (!socket_.recv(part, flags)) return false;
        const std::string topic = part.to_string();
        bool has_more = part.more();
        parts.push_back(std::move(part));
        while (has_more) {
            zmq::message_t next;
            (void)socket_.recv(next, zmq::recv_flags::none);
            has_more = next.more();
            if (parts.size() < max_buffers + 2) parts.push_back(std::move(next));
        }
        for (auto &entry : waiting_) {
            if (entry.first == topic) {
                entry.second = std::move(parts);
                return true;
            }
        }
        waiting_.emplace_back(topic, std::move(parts));
        return true;
    }

    zmq::context_t context_;
    zmq::socket_t socket_;
    std::vector<std::pair<std::string, std::vector<zmq::message_t>>> waiting_;
};

}  // namespace streamseg
