"""RTSP and RTP, read without FFmpeg's demuxer.

FFmpeg's parser releases an access unit when the next one begins, one frame period late, and hides lost packets. Here,
an access unit is complete with its marker bit, and none with a missing packet is ever decoded.

    RtspConnection ─► RtspSession ─► PacketOrder ─► Depacketizer ─► RtspVideo ─► LivePacket
       sockets         messages        sequence       NAL units       times

Everything but `connection` and `video` is pure: bytes and times in, records out.

authentication  Basic and Digest
connection      sockets, time-outs, cancellation
depacketizer    access units from packets
description     session descriptions (SDP)
messages        RTSP messages on a byte stream
nal_units       payload formats of H.264 and H.265
rtp             RTP packets, their order and gaps
sender_clock    RTCP sender reports: the camera's clock
session         the client side of a session, from OPTIONS to PLAY
video           packets for the decoder
"""
