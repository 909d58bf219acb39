// Prints each message as a line of JSON.
//
//   watch ENDPOINT [COUNT]      messages of a publisher, at most COUNT
//   watch --files FILE…         messages in their single-part form, one per file
//
// SPDX-License-Identifier: Apache-2.0

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>

#include "streamseg.hpp"

namespace {

using nlohmann::json;

json summary(const streamseg::Message &message) {
    json objects = json::array(), prompts = json::array();
    for (const auto &found : message.objects) {
        const auto &mask = found.mask;
        objects.push_back({{"track_id", found.track_id},
                           {"prompt_ids", found.prompt_ids},
                           {"box", found.box},
                           {"score", found.score},
                           {"label", found.label ? json(*found.label) : json()},
                           {"crop", {mask.x, mask.y, mask.width, mask.height}},
                           {"area", mask.area()},
                           {"crc32", crc32(0, mask.pixels.data(), static_cast<uInt>(mask.pixels.size()))}});
    }
    for (const auto &status : message.prompts) {
        prompts.push_back({{"id", status.id},
                           {"state", status.state},
                           {"confidence", status.confidence},
                           {"track_id", status.track_id},
                           {"mask_quality", status.mask_quality ? json(*status.mask_quality) : json()}});
    }
    return {{"source", message.source},
            {"epoch", message.epoch},
            {"seq", message.seq},
            {"index", message.index},
            {"stamp_ns", std::to_string(message.stamp_ns)},
            {"clock", message.clock},
            {"age_ms", message.age_ms},
            {"pts_seconds", message.pts_seconds ? json(*message.pts_seconds) : json()},
            {"frame_id", message.frame_id},
            {"image", {message.image_width, message.image_height}},
            {"mask_space", {message.mask_width, message.mask_height}},
            {"mask_to_image", message.mask_to_image},
            {"objects", objects},
            {"prompts", prompts},
            {"jpeg_bytes", message.jpeg.size()}};
}

void print_file(const char *path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error(std::string("cannot read ") + path);
    const std::string body{std::istreambuf_iterator<char>(file), {}};
    try {
        std::cout << summary(streamseg::decode(streamseg::unpack_single(body))).dump() << std::endl;
    } catch (const streamseg::WireError &error) {
        std::cout << json{{"error", error.what()}}.dump(-1, ' ', false, json::error_handler_t::replace) << std::endl;
    }
}

}  // namespace

int main(int argc, char **argv) {
    if (argc < 2) {
        std::cerr << "usage: watch ENDPOINT [COUNT] | watch --files FILE...\n";
        return 2;
    }
    try {
        if (std::string(argv[1]) == "--files") {
            for (int n = 2; n < argc; ++n) print_file(argv[n]);
            return 0;
        }
        streamseg::Subscriber subscriber(argv[1]);
        for (long left = argc > 2 ? std::atol(argv[2]) : -1; left != 0;) {
            if (const auto message = subscriber.receive(std::chrono::milliseconds(1000))) {
                std::cout << summary(*message).dump() << std::endl;
                --left;
            }
        }
    } catch (const std::exception &error) {
        std::cerr << "watch: " << error.what() << "\n";
        return 2;
    }
    return 0;
}
